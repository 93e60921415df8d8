"""restore(): measured pixels and measured data are kept, hidden ones are inferred in the scan's own units."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from napari_brgm.corruptions import Blur, Compose, Downsample, Grayscale, Identity, Mask
from napari_brgm.engine.restore import restore, restore_steps
from napari_brgm.errors import InputError
from napari_brgm.priors.linear_gaussian import LinearGaussian
from napari_brgm.priors.prior import PriorInfo
from napari_brgm.priors.residual_field import ResidualField
from napari_brgm.priors.stylegan2 import StyleGAN2
from napari_brgm.priors.stylegan2_prior import StyleGAN2Prior
from napari_brgm.settings import preset


@pytest.mark.parametrize("method", ["map", "vi"])
@pytest.mark.parametrize("kind", ["int16", "float32", "float64", ">i2", ">f8", "uint8"])
def test_in_painting_keeps_measured_pixels_bit_for_bit(linear_prior, scan, hole, quick, method, kind):
    """Catches a detour of measured pixels through grey levels, float32 or another byte order."""
    image = (scan / 4 if kind == "uint8" else scan).astype(kind)
    before = image.copy()
    result = restore(image, Mask(hole), linear_prior, method=method, samples=6, settings=quick)
    for found in (result.estimate, result.mean):
        assert found.shape == (24, 24) and (found[~hole] == image[~hole]).all()
    np.testing.assert_array_equal(image, before)
    np.testing.assert_array_equal(result.measured, ~hole)
    assert result.samples.shape == (6, 24, 24)
    np.testing.assert_array_equal(
        result.samples[:, ~hole], np.broadcast_to(image[~hole], (6, (~hole).sum())).astype("f4")
    )
    assert (result.variance[~hole] == 0).all() and (result.variance[hole] > 0).all()
    assert (result.samples[:, hole].std(axis=0) > 0).all()
    assert np.isfinite(result.estimate).all() and result.latents.shape == (1, 12)


def test_what_is_hidden_has_no_say(linear_prior, scan, hole, quick):
    """Catches a hole that leaks: its old content, NaN, or an artefact a thousand times brighter."""
    results = []
    for content in (scan[hole], np.nan, -np.inf, 1e6):
        image = scan.copy()
        image[hole] = content
        results.append(restore(image, Mask(hole), linear_prior, samples=3, settings=quick))
    for other in results[1:]:
        np.testing.assert_array_equal(other.estimate, results[0].estimate)
        np.testing.assert_array_equal(other.variance, results[0].variance)


def test_the_hole_is_filled_with_what_was_there(linear_prior, scan, hole):
    """The prior drew this image: its posterior must find the hidden part, far better than the prior's mean."""
    scan = scan / 4  # the prior's own grey levels
    result = restore(scan, Mask(hole), linear_prior, noise_sigma=1.0)
    mean = (linear_prior.mean[0].numpy() + 1) * 127.5
    error = np.sqrt(np.mean((result.estimate - scan)[hole] ** 2))
    assert error < 0.5 * np.sqrt(np.mean((mean - scan)[hole] ** 2))
    assert error < 3 * np.sqrt(result.variance[hole].mean())


def test_variance_is_the_exact_one_with_few_samples(linear_prior, scan, hole, quick):
    """Catches a variance inflated by n / (n - 1): twice the truth with two samples."""
    quick = quick.but(adapt_residual=False)
    exact = exact_variance(linear_prior, hole, scan, quick)
    for samples, runs in ((2, 60), (8, 20)):
        found = np.mean(
            [
                restore(
                    scan, Mask(hole), linear_prior, samples=samples, seed=seed, noise_sigma=4.0, settings=quick
                ).variance[hole]
                for seed in range(runs)
            ],
            axis=0,
        )
        assert found.sum() == pytest.approx(exact.sum(), rel=0.2)


def test_the_most_probable_image_alone_where_no_samples_are_asked_for(linear_prior, scan, hole, quick):
    """The image is that of a run with samples; of a variance nothing is said, and not that it is small."""
    with_samples = restore(scan, Mask(hole), linear_prior, samples=4, settings=quick)
    steps = []
    found = restore(scan, Mask(hole), linear_prior, samples=0, settings=quick, callback=steps.append)
    np.testing.assert_array_equal(found.estimate, with_samples.estimate)
    assert np.isnan(found.variance[hole]).all() and (found.variance[~hole] == 0).all()
    assert found.samples.shape == (0, *scan.shape) and not found.has_spread and with_samples.has_spread
    assert {step.phase for step in steps} <= {"placing", "map"}
    assert "no samples were drawn" in found.provenance["calibration"]["label"]
    with pytest.raises(InputError, match="no samples were drawn"):
        found.interval(0.9)
    with pytest.raises(InputError, match="goes with method 'map'"):
        restore(scan, Mask(hole), linear_prior, samples=0, method="vi", settings=quick)


def exact_variance(prior, hole, scan, settings) -> np.ndarray:
    """Posterior variance in the hole, in units squared: sigma from the provenance, the rest by dense matrices."""
    record = restore(scan, Mask(hole), prior, samples=2, noise_sigma=4.0, settings=settings).provenance
    gain = 255 / (record["window"]["high"] - record["window"]["low"])  # grey levels in a unit
    b = 127.5 * prior.basis.flatten(1).double().numpy()
    seen = b[:, ~hole.ravel()]
    covariance = np.linalg.inv(np.eye(len(b)) + seen @ seen.T / record["noise"]["pixel"] ** 2)
    return np.einsum("kp,kl,lp->p", b[:, hole.ravel()], covariance, b[:, hole.ravel()]) / gain**2


@pytest.mark.parametrize("factor", [2, 4, (2, 1), 1.5, (1, 3)])
@pytest.mark.parametrize("kernel", ["area", "bicubic", "gaussian"])
def test_super_resolution_agrees_with_the_data(linear_prior, scan, quick, factor, kernel):
    """f(result) == input to 1e-3 of the range, for the estimate and every sample."""
    f = Downsample(factor, kernel)
    low = f.A(torch.from_numpy(scan)[None, None])[0, 0].numpy()
    result = restore(low, f, linear_prior, samples=4, settings=quick)
    assert result.estimate.shape == (24, 24) and not result.measured.any()
    for image in (result.estimate, *result.samples):
        again = f.A(torch.from_numpy(image).double()[None, None])[0, 0].numpy()
        assert np.abs(again - low).max() < 1e-3 * np.ptp(low)
    assert (result.variance >= 0).all() and result.variance.max() > 0


def test_super_resolution_beats_the_pixels_it_was_given(linear_prior, scan):
    f = Downsample(4)
    low = f.A(torch.from_numpy(scan)[None, None])[0, 0].numpy()
    result = restore(low, f, linear_prior, noise_sigma=1.0)
    assert np.sqrt(np.mean((result.estimate - scan) ** 2)) < 0.5 * np.sqrt(
        np.mean((np.kron(low, np.ones((4, 4))) - scan) ** 2)
    )


def test_another_spacing_than_the_priors(linear_prior, scan, quick):
    """A 36 x 30 slice of 1 mm pixels in the frame of 1.5 mm: the same anatomy at the same place."""
    rows, columns = 36, 30
    frame_row = (np.arange(rows) - 17.5) / 1.5 + 11.5
    frame_column = (np.arange(columns) - 14.5) / 1.5 + 11.5
    from scipy.ndimage import map_coordinates

    image = map_coordinates(scan, np.meshgrid(frame_row, frame_column, indexing="ij"), order=1, mode="nearest")
    hole = np.zeros((rows, columns), bool)
    hole[14:22, 10:18] = True
    result = restore(image, Mask(hole), linear_prior, spacing=(1.0, 1.0), samples=4, noise_sigma=4.0, settings=quick)
    assert result.shape == (rows, columns)
    np.testing.assert_array_equal(result.estimate[~hole], image[~hole])
    frame = result.provenance["frame"]
    for axis, centre in ((0, 17.5), (1, 14.5)):
        offset = (centre - frame["centre_native"][axis]) * frame["ratio"][axis] + frame["centre_frame"][axis]
        assert offset == pytest.approx(11.5, abs=1.0)
    assert np.abs(result.estimate - image)[hole].mean() < 0.1 * image.max()
    assert (result.variance[hole] > 0).all()
    finer = restore(image, Downsample((2, 3)), linear_prior, spacing=(1.0, 1.0), samples=2, settings=quick)
    assert finer.shape == (72, 90)
    assert finer.provenance["frame"]["ratio"] == pytest.approx([1 / 3, 2 / 9], rel=0.21)


def test_a_prior_without_a_pixel_size_takes_the_whole_image(linear_prior, scan, quick):
    """X-rays: a 40 x 32 image of 0.2 mm fills the 24 px frame by its longer side, as one of unknown pixel size does."""
    whole = LinearGaussian(
        linear_prior.mean, linear_prior.basis, linear_prior.noise_variance, replace(linear_prior.info, spacing_mm=0.0)
    )
    image = np.kron(scan, np.ones((2, 2)))[4:44, 8:40]  # (40, 32)
    hole = np.zeros(image.shape, bool)
    hole[14:22, 10:18] = True
    for spacing in ((0.2, 0.2), None):
        result = restore(image, Mask(hole), whole, spacing=spacing, samples=2, noise_sigma=4.0, settings=quick)
        assert result.provenance["frame"]["ratio"] == pytest.approx([24 / 40] * 2, rel=0.21)
    small = restore(scan[::2, ::2], Downsample(2), whole, samples=2, settings=quick)
    assert small.shape == (24, 24) and small.provenance["frame"]["ratio"] == pytest.approx([1, 1])


def test_half_a_head_is_placed_like_the_whole(linear_prior, scan, quick):
    """Catches a placement by the box of what is visible: half a head would be centred in the frame."""
    image = np.kron(scan, np.ones((2, 2)))
    small, right, bottom = np.zeros((3, 48, 48), bool)
    small[20:24, 20:24] = True
    right[:, 24:] = True
    bottom[24:] = True
    offsets = []
    for missing in (small, right, bottom):
        frame = restore(
            image, Mask(missing), linear_prior, spacing=(0.75, 0.75), samples=2, noise_sigma=4.0, settings=quick
        ).provenance["frame"]
        offsets.append(
            [
                (23.5 - n) * r + f
                for n, r, f in zip(frame["centre_native"], frame["ratio"], frame["centre_frame"], strict=True)
            ]
        )
    np.testing.assert_allclose(offsets[1:], [offsets[0]] * 2, atol=1.5)


@pytest.mark.parametrize("method", ["map", "vi"])
def test_units_follow_the_scan(linear_prior, scan, hole, quick, method):
    """HU-like values (air below zero): x * 10 + 5 in gives result * 10 + 5 and a hundredfold variance."""
    image = scan - 1000
    a = restore(image, Mask(hole), linear_prior, method=method, samples=4, settings=quick)
    b = restore(10 * image + 5, Mask(hole), linear_prior, method=method, samples=4, settings=quick)
    np.testing.assert_allclose(b.estimate, 10 * a.estimate + 5, atol=10 * 1e-3 * np.ptp(image))
    np.testing.assert_allclose(b.variance, 100 * a.variance, rtol=1e-2, atol=100 * 1e-6 * np.ptp(image) ** 2)
    c = restore(10 * scan, Mask(hole), linear_prior, method=method, samples=4, settings=quick)
    d = restore(scan, Mask(hole), linear_prior, method=method, samples=4, settings=quick)
    np.testing.assert_allclose(c.estimate, 10 * d.estimate, atol=10 * 1e-3 * np.ptp(image))


def test_more_noise_moves_the_result_to_the_prior(linear_prior, scan, hole, quick):
    """sigma_pix from the noise level given: four times the noise, wider and nearer to the mean image."""
    scan = scan / 4  # the prior's own grey levels
    quiet, loud = (restore(scan, Mask(hole), linear_prior, noise_sigma=s, settings=quick) for s in (10.0, 200.0))
    assert (loud.variance[hole] > quiet.variance[hole]).mean() > 0.95
    mean = (linear_prior.mean[0].numpy() + 1) * 127.5
    assert np.abs(loud.estimate - mean)[hole].mean() < np.abs(quiet.estimate - mean)[hole].mean()
    assert loud.provenance["noise"]["measured"] == pytest.approx(20 * quiet.provenance["noise"]["measured"])


@pytest.mark.parametrize("method", ["map", "vi"])
def test_a_seed_repeats_the_result(linear_prior, scan, hole, quick, method):
    a, b, c = (
        restore(scan, Mask(hole), linear_prior, method=method, samples=4, seed=s, settings=quick) for s in (1, 1, 2)
    )
    for name in ("estimate", "mean", "variance", "samples", "latents"):
        np.testing.assert_array_equal(getattr(a, name), getattr(b, name))
    assert [{**t, "loss": 0} for t in a.trace] == [{**t, "loss": 0} for t in b.trace]
    assert (a.samples[:, hole] != c.samples[:, hole]).all()
    np.random.seed(0)
    torch.manual_seed(123)
    d = restore(scan, Mask(hole), linear_prior, method=method, samples=4, seed=1, settings=quick)
    np.testing.assert_array_equal(a.samples, d.samples)


@pytest.mark.parametrize("f", [Blur(3.0), Identity(), Compose(Blur(2.0), Downsample(2))])
def test_other_linear_corruptions(linear_prior, scan, quick, f):
    y = f.A(torch.from_numpy(scan)[None, None])[0, 0].numpy()
    result = restore(y, f, linear_prior, samples=3, noise_sigma=4.0, settings=quick)
    assert result.shape == (24, 24) and np.isfinite(result.estimate).all()
    again = f.A(torch.from_numpy(result.estimate).double()[None, None])[0, 0].numpy()
    assert np.sqrt(np.mean((again - y) ** 2)) < 0.05 * np.ptp(y)
    assert (result.variance >= 0).all() and not result.measured.any()


def test_the_residual_field_is_used_and_can_be_left_out(linear_prior, scan, hole, quick, with_parts):
    """What the prior cannot draw widens the hole's variance, and lets measured neighbours speak."""
    lag = torch.fft.fftfreq(24) * 24
    correlation = torch.exp(-(lag[:, None].square() + lag[None].square()).sqrt() / 2)
    prior = with_parts(linear_prior, residual=ResidualField(torch.full((24, 24), 20.0), correlation))
    rough = scan / 4 + 10 * np.sin(np.arange(24))[:, None]
    plain = restore(rough, Mask(hole), prior, noise_sigma=1.0, settings=quick.but(residual_field=False))
    field = restore(rough, Mask(hole), prior, noise_sigma=1.0, settings=quick)
    assert (field.variance[hole] > plain.variance[hole]).mean() > 0.95
    rim = np.zeros_like(hole)
    rim[7, 9:17] = True
    assert np.abs(field.estimate - rough)[rim].mean() < np.abs(plain.estimate - rough)[rim].mean()
    np.testing.assert_array_equal(field.estimate[~hole], rough[~hole])
    assert field.variance[10, 13] > field.variance[7, 9]  # the middle is less sure than the corner


@pytest.fixture(scope="module")
def colour_prior(parity) -> StyleGAN2Prior:
    net = StyleGAN2.from_state_dict(parity("64_rgb")[0])
    return StyleGAN2Prior.of_network(net, PriorInfo("random-rgb", spacing_mm=1.0, representation_sigma=5.0))


def test_colour(colour_prior, quick):
    """(H, W, 3) in and out; variance for each channel, 0 where measured."""
    image = ((colour_prior.sample(1, seed=1)[0].permute(1, 2, 0).numpy() + 1) * 127.5).clip(0, 255)
    hole = np.zeros((64, 64), bool)
    hole[20:30, 20:40] = True
    result = restore(image, Mask(hole), colour_prior, samples=3, settings=quick)
    assert result.estimate.shape == result.variance.shape == (64, 64, 3) and result.samples.shape == (3, 64, 64, 3)
    np.testing.assert_array_equal(result.estimate[~hole], image[~hole])
    assert (result.variance[~hole] == 0).all()
    assert (result.variance[hole] > 0).mean() > 0.5  # a random network draws black, too, which is where draws end


@pytest.mark.parametrize("corruption", [Mask(np.eye(64, dtype=bool)), Downsample(2), Identity()])
def test_a_colour_prior_sees_gray_images_through_its_luminance(colour_prior, quick, corruption):
    """The result is gray and keeps what is measured; the record and a note say how."""
    image = Grayscale().A(colour_prior.sample(1, seed=1))[0, 0].numpy()
    image = ((image + 1) * 127.5).clip(0, 255).astype(np.float32)
    seen = (
        corruption.A(torch.from_numpy(image)[None, None])[0, 0].numpy() if isinstance(corruption, Downsample) else image
    )
    found = restore(seen, corruption, colour_prior, samples=3, settings=quick)
    assert found.estimate.shape == found.variance.shape == image.shape and found.samples.shape == (3, *image.shape)
    if isinstance(corruption, Mask):
        hidden = np.eye(64, dtype=bool)
        np.testing.assert_array_equal(found.estimate[~hidden], image[~hidden])
    assert any(
        "random-rgb draws colour and the scan is gray: it is seen through" in n for n in found.provenance["notes"]
    )
    assert "luminance" in str(found.provenance["notes"])


def test_colourisation(colour_prior, quick):
    image = ((colour_prior.sample(1, seed=1) + 1) * 127.5).clamp(0, 255)
    gray = Grayscale().A(image)[0, 0].numpy()
    result = restore(gray, Grayscale(), colour_prior, samples=2, settings=quick)
    assert result.estimate.shape == (64, 64, 3)
    again = Grayscale().A(torch.from_numpy(result.estimate).permute(2, 0, 1)[None])[0, 0].numpy()
    assert np.abs(again - gray).mean() < 0.02 * np.ptp(gray)


@pytest.mark.parametrize("space", ["w", "w+"])
@pytest.mark.parametrize("method", ["map", "vi"])
def test_a_curved_generator(random_stylegan2, space, method):
    image = ((random_stylegan2.sample(1, seed=3)[0, 0].double().numpy() + 1) * 127.5).clip(0)
    hole = np.zeros((32, 32), bool)
    hole[10:16, 12:20] = True
    settings = preset("default").but(steps=6, latent_space=space)
    result = restore(image, Mask(hole), random_stylegan2, method=method, samples=3, settings=settings)
    assert result.latents.shape == (8, 32)
    losses = [t["loss"] for t in result.trace if t["phase"] == "map"]
    assert min(losses) < losses[0]
    assert (result.variance[hole] > 0).all() and (result.estimate[~hole] == image[~hole]).all()


def test_previews_come_as_often_as_asked(linear_prior, scan, hole):
    for every, wanted in ((1, [1, 2, 3, 4, 5, 6, 7]), (3, [1, 4, 7])):
        settings = preset("default").but(steps=7, preview_every=every)
        steps = restore_steps(scan, Mask(hole), linear_prior, samples=2, settings=settings)
        shown = [s.iteration for s in steps if s.preview is not None and s.phase == "map"]
        assert shown == wanted


def test_steps_are_numbered_to_the_end(linear_prior, scan, hole, quick):
    for method, phases in (("map", {"map"}), ("vi", {"map", "vi"})):
        steps = list(restore_steps(scan, Mask(hole), linear_prior, method=method, samples=9, settings=quick))
        assert [s.iteration for s in steps] == list(range(1, len(steps) + 1))
        assert {s.total for s in steps} == {len(steps)}
        assert {s.phase for s in steps} - {"samples"} == phases
        first = steps[0].preview
        assert first is not None and first.shape == (24, 24)
        np.testing.assert_array_equal(first[~hole], scan[~hole].astype(np.float32))


def test_the_trace_has_every_term(linear_prior, scan, hole, quick):
    result = restore(scan, Mask(hole), linear_prior, method="vi", samples=2, settings=quick)
    optimised = [t for t in result.trace if t["phase"] in ("map", "vi")]
    assert [(t["phase"], t["iteration"]) for t in optimised] == [("map", 1), ("map", 2), ("vi", 3), ("vi", 4)]
    assert set(optimised[0]) == {"phase", "iteration", "loss", "w", "pixel"}
    assert set(optimised[-1]) == {"phase", "iteration", "loss", "w", "pixel", "entropy"}
    for t in optimised:
        terms = sum(v for k, v in t.items() if k not in ("phase", "iteration", "loss"))
        assert t["loss"] == pytest.approx(terms, rel=1e-4, abs=1e-3)
