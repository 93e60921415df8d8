"""Calibrated restorations: the spread changes and nothing else, and where there are no factors the result says why."""

from __future__ import annotations

import copy
from dataclasses import replace

import numpy as np
import pytest

from napari_brgm.calibration import Calibration, Curve, interval, unpack_widths
from napari_brgm.corruptions import Blur, Compose, Downsample, Identity, Jpeg, Mask
from napari_brgm.engine import calibrate
from napari_brgm.engine.coordinate import coordinate, task_of
from napari_brgm.engine.observed import observe
from napari_brgm.engine.restoration import Restoration
from napari_brgm.engine.restore import restore
from napari_brgm.settings import preset

TISSUE = Curve((0.02, 0.2), ((0.8, 0.8, 0.7, 0.75), (1.1, 1.0, 0.9, 0.95)))
AIR = Curve((0.1,), ((0.9, 0.5, 0.4, 0.4),))
FINER = Curve((2.0, 4.0), ((0.9, 0.8, 0.6, 0.7), (0.9, 0.8, 0.6, 0.7)))
FINER_AIR = Curve((2.0,), ((0.5, 0.3, 0.25, 0.25),))


@pytest.fixture(scope="module")
def calibration() -> Calibration:
    curves = {}
    for method in ("map", "vi"):
        curves |= {(method, "mask", "tissue"): TISSUE, (method, "mask", "air"): AIR}
        curves |= {(method, "downsample", "tissue"): FINER, (method, "downsample", "air"): FINER_AIR}
    return Calibration("validation slices of toys", 7, 14, "default", curves)


@pytest.fixture(scope="module")
def prior(linear_prior, calibration):
    """The toy prior with factors on its card."""
    known = copy.copy(linear_prior)
    known.info = replace(linear_prior.info, calibration=calibration)
    return known


def both(image, corruption, prior, quick, method="map", **more):
    """With and without calibration."""
    given = {"method": method, "samples": 12, "device": "cpu", **more}
    plain = restore(image, corruption, prior, settings=quick.but(calibrate=False), **given)
    return plain, restore(image, corruption, prior, settings=quick, **given)


@pytest.mark.parametrize("method", ["map", "vi"])
def test_in_painting_keeps_mean_and_measured_pixels_bit_for_bit(prior, scan, hole, quick, method):
    plain, found = both(scan, Mask(hole), prior, quick, method)
    for name in ("estimate", "mean", "latents", "measured"):
        np.testing.assert_array_equal(getattr(found, name), getattr(plain, name))
    np.testing.assert_array_equal(found.samples[:, ~hole], plain.samples[:, ~hole])
    assert (found.variance[~hole] == 0).all() and (found.variance[hole] != plain.variance[hole]).all()


def test_variance_samples_and_the_90_percent_interval_agree(prior, scan, hole, quick):
    """Catches a factor on one of them only, or on the variance where the standard deviation is meant."""
    plain, found = both(scan, Mask(hole), prior, quick)
    ratio = found.std[hole] / plain.std[hole]
    np.testing.assert_allclose(ratio, np.interp(np.log(4 / 24), np.log(TISSUE.at), [0.7, 0.9]), rtol=1e-3)
    np.testing.assert_allclose(found.samples.std(axis=0)[hole], found.std[hole], rtol=1e-3)
    low, high = found.interval(0.9)
    np.testing.assert_allclose((high - low)[hole], 2 * 1.6449 * found.std[hole], rtol=1e-3)
    told = found.provenance["calibration"]["factor"]
    assert told == pytest.approx([ratio.min(), ratio.max()], rel=2e-3)


def test_other_levels_have_factors_of_their_own(prior, scan, hole, quick):
    """Beside the rim of a hole that is 4 of 24 pixels deep, between the two groups."""
    plain, found = both(scan, Mask(hole), prior, quick)
    depth = (
        np.interp(np.log(4 / 24), np.log(TISSUE.at), [0.8, 1.1]),
        np.interp(np.log(4 / 24), np.log(TISSUE.at), [0.75, 0.95]),
    )
    row, column = 7, 12  # first row of the hole
    assert found.mean[row, column] > 100
    for level, z, factor in ((0.5, 0.6745, depth[0]), (0.95, 1.96, depth[1])):
        low, high = found.interval(level)
        assert (high - low)[row, column] == pytest.approx(2 * z * factor * plain.std[row, column], rel=2e-3)


def test_a_file_keeps_the_intervals(prior, scan, hole, quick, tmp_path):
    _, found = both(scan, Mask(hole), prior, quick)
    again = Restoration.load(found.save(tmp_path / "result.safetensors"))
    for level in (0.3, 0.5, 0.9, 0.97):
        np.testing.assert_array_equal(again.interval(level), found.interval(level))
    assert again.provenance["calibration"] == found.provenance["calibration"]


@pytest.mark.parametrize("factor", [2, 3, (1.5, 1.5)])
def test_super_resolution_stays_consistent(prior, scan, quick, factor):
    """Tissue and air have other factors: within a coarse pixel of both, plain scaling would move its mean."""
    corruption = Downsample(factor)
    size = corruption.observed_shape((24, 24))
    coarse = corruption.A(_tensor(scan))[0, 0].numpy()
    plain, found = both(coarse, corruption, prior, quick)
    assert coarse.shape == size

    def misfit(result):
        seen = corruption.A(_tensor(result.samples.astype(np.float64)))[:, 0].numpy()
        return np.sqrt(np.square(seen - coarse).mean(axis=(1, 2))).max()

    assert misfit(found) < 1e-3 and misfit(found) <= misfit(plain) + 1e-3
    np.testing.assert_array_equal(found.mean, plain.mean)
    np.testing.assert_array_equal(found.estimate, plain.estimate)
    tissue = plain.mean > 0.2 * plain.mean.max()
    ratio = (found.std / np.maximum(plain.std, 1e-6))[tissue]
    assert np.median(ratio) == pytest.approx(0.6, abs=0.05)
    apart = found.samples - found.samples.mean(axis=0)
    naive = corruption.A(_tensor(np.where(tissue, 1.0, 0.4) * apart.astype(np.float64))).abs().max()
    assert float(naive) > 10 * misfit(found)  # what is guarded against is there in this image


@pytest.mark.parametrize(
    ("corruption", "why"),
    [
        (lambda hole: Identity(), "in-painting and super-resolution only"),
        (lambda hole: Blur(fwhm=2.0), "in-painting and super-resolution only"),
        (lambda hole: Jpeg(20), "in-painting and super-resolution only"),
        (lambda hole: Compose(Mask(hole), Blur(fwhm=2.0)), "in-painting and super-resolution only"),
        (lambda hole: Downsample(2, "bicubic"), "square means"),
        (lambda hole: Downsample((2, 1)), "square means"),
    ],
)
def test_what_was_not_measured_is_labelled_and_left_alone(prior, scan, hole, quick, corruption, why):
    image = scan / 4
    f = corruption(hole)
    image = image if tuple(f.image_shape((24, 24))) == (24, 24) else f.A(_tensor(image))[0, 0].numpy()
    plain, found = both(image, f, prior, quick)
    record = found.provenance["calibration"]
    assert record["applied"] is False and "not calibrated" in record["label"] and why in record["label"]
    np.testing.assert_array_equal(found.variance, plain.variance)
    np.testing.assert_array_equal(found.samples, plain.samples)
    assert found.widths is None


def test_two_masks_are_calibrated_as_the_one_that_they_are(prior, scan, hole, quick):
    """They keep what both keep, so that it is in-painting: catches factors that are lost by composing."""
    other = np.roll(hole, 3, axis=0)
    two, one = (
        restore(scan, f, prior, samples=6, settings=quick)
        for f in (Compose(Mask(hole), Mask(other)), Mask(hole | other))
    )
    assert two.provenance["calibration"]["applied"] is True
    assert two.provenance["calibration"] == one.provenance["calibration"]
    np.testing.assert_array_equal(two.widths, one.widths)
    np.testing.assert_array_equal(two.variance, one.variance)


def test_the_record_carries_the_widths(prior, scan, hole, quick):
    """So that results that are read back keep them; catches widths in other units, or of the plain spread."""
    _, found = both(scan, Mask(hole), prior, quick)
    again = unpack_widths(found.provenance["calibration"]["widths"], found.shape)
    np.testing.assert_array_equal(again, found.widths)
    low, high = interval(found.mean, found.std, 0.8, again)
    np.testing.assert_array_equal((low, high), found.interval(0.8))


def test_widths_do_not_depend_on_how_many_are_worked_on(prior, scan, hole, quick, monkeypatch):
    """Catches pixels of one part that get the widths of another."""
    for f, image in ((Mask(hole), scan), (Downsample(2), scan)):
        _, whole = both(image, f, prior, quick)
        with monkeypatch.context() as patched:
            patched.setattr(calibrate, "_AT_ONCE", 7)
            _, parts = both(image, f, prior, quick)
        np.testing.assert_array_equal(whole.widths, parts.widths)
        np.testing.assert_array_equal(whole.samples, parts.samples)


def test_reasons(prior, linear_prior, scan, hole, quick):
    """No factors for the prior, the settings, the method; and switched off."""

    def label(prior, settings=quick, method="map"):
        result = restore(scan, Mask(hole), prior, method=method, samples=3, settings=settings)
        return result.provenance["calibration"]["label"]

    assert label(prior) == "90 % intervals calibrated on 7 held-out subjects"
    assert label(prior, preset("default").but(steps=3, name="mine", preview_every=1)).startswith("90 %")
    assert label(linear_prior) == "intervals are not calibrated: none was measured for toy-24"
    assert "switched off" in label(prior, quick.but(calibrate=False))
    assert "settings" in label(prior, quick.but(lambda_pixel=0.5))
    only_map = {key: curve for key, curve in prior.info.calibration.curves.items() if key[0] == "map"}
    less = copy.copy(prior)
    less.info = replace(prior.info, calibration=replace(prior.info.calibration, curves=only_map))
    assert "not measured for method 'vi'" in label(less, method="vi")


@pytest.mark.parametrize(
    ("corruption", "scale"),
    [
        (lambda hole: Mask(hole), 0.6),
        (lambda hole: Compose(Mask(hole), Blur(fwhm=2.0)), 0.6),
        (lambda hole: Blur(fwhm=2.0), 1.7),
        (lambda hole: Identity(), 1.7),
        (lambda hole: Jpeg(20), 1.0),
    ],
)
def test_the_scale_serves_what_has_no_factors(prior, scan, hole, quick, corruption, scale):
    """The mean stays, deviations in tissue are scaled, those in air are not; and the label says so."""
    scaled = copy.copy(prior)
    scales = replace(prior.info.calibration, curves={}, scales={"mask": 0.6, "downsample": 1.7})
    scaled.info = replace(prior.info, calibration=scales)
    plain, found = both(scan, corruption(hole), scaled, quick)
    np.testing.assert_array_equal(found.mean, plain.mean)
    record = found.provenance["calibration"]
    assert record["applied"] is False and record["scale"] == scale
    assert ("scaled as on 7 held-out subjects" in record["label"]) == (scale != 1)
    tissue = found.mean > 0.2 * found.mean.max()
    spread = (plain.std > 0) & tissue
    np.testing.assert_allclose(found.std[spread], scale * plain.std[spread], rtol=2e-3)
    off = restore(scan, corruption(hole), scaled, samples=3, settings=quick.but(lambda_pixel=0.5))
    assert off.provenance["calibration"]["scale"] == 1.0  # of other settings nothing is known


def test_factors_come_after_the_scale(prior, scan, hole, quick):
    scaled = copy.copy(prior)
    scaled.info = replace(prior.info, calibration=replace(prior.info.calibration, scales={"mask": 0.5}))
    _, found = both(scan, Mask(hole), prior, quick)
    _, less = both(scan, Mask(hole), scaled, quick)
    tissue = hole & (found.mean > 0.2 * found.mean.max())
    np.testing.assert_allclose(less.std[tissue], 0.5 * found.std[tissue], rtol=2e-3)
    np.testing.assert_array_equal(less.widths, found.widths)


def test_a_scan_unlike_the_prior_is_told_so(prior, scan, hole, quick):
    strict = copy.copy(prior)
    strict.info = replace(prior.info, misfit_limit=1e-9)
    result = restore(scan, Mask(hole), strict, samples=3, settings=quick)
    assert result.provenance["calibration"]["label"].endswith("which this scan is unlike")


def test_unseen_pixels_keep_their_uniform_guess(prior, scan, quick):
    """Masked pixels beyond the frame: nothing is known there, and no factor was measured."""
    wide = np.zeros((24, 60))
    wide[:, 18:42] = scan
    missing = np.zeros(wide.shape, bool)
    missing[10:14, 26:34] = True
    missing[5:8, 1:4] = True  # beyond the frame
    plain, found = both(wide, Mask(missing), prior, quick.but(fit_pose=False))
    unseen = missing & (np.arange(60) < 10)
    np.testing.assert_array_equal(found.variance[unseen], plain.variance[unseen])
    np.testing.assert_array_equal(found.interval(0.5)[0][unseen], plain.interval(0.5)[0][unseen])


def test_depth_is_in_sides_of_the_frame(prior, scan, hole):
    """And not in the scan's pixels: catches factors that change with the scan's resolution."""
    _, at = coordinate(observe(scan, Mask(hole), prior, pose=False), prior.resolution)
    fine, twice = np.kron(scan, np.ones((2, 2))), np.kron(hole, np.ones((2, 2), bool))
    _, finer = coordinate(observe(fine, Mask(twice), prior, spacing=(0.75, 0.75), pose=False), prior.resolution)
    assert at[hole] == pytest.approx(4 / 24) and finer[twice] == pytest.approx(3.5 / 24)
    two = hole.copy()
    two[2:4, 2:4] = True  # a hole of its own, one pixel deep
    _, at = coordinate(observe(scan, Mask(two), prior, pose=False), prior.resolution)
    assert at[two & ~hole] == pytest.approx(1 / 24) and at[hole] == pytest.approx(4 / 24)
    kind, at = coordinate(observe(scan[::2, ::2], Downsample(2), prior, pose=False), prior.resolution)
    assert kind == "downsample" and at.shape == (24, 24) and at[0, 0] == pytest.approx(2)


def _tensor(images):
    import torch

    array = np.asarray(images, dtype=np.float64)
    return torch.from_numpy(array[None, None] if array.ndim == 2 else array[:, None])


@pytest.mark.parametrize(("share", "kind"), [(0.95, "scattered"), (0.8, "scattered"), (0.3, "mask"), (0.01, "mask")])
def test_pixels_measured_by_themselves_are_a_kind_of_their_own(prior, scan, share, kind):
    assert task_of(observe(scan, Mask.random(scan.shape, share, seed=1), prior)) == kind


def test_painted_holes_are_not_scattered_however_large(prior, scan, hole):
    most = np.ones(scan.shape, dtype=bool)
    most[8:16, 8:16] = False
    lines = np.zeros(scan.shape, dtype=bool)
    lines[::4] = True
    for missing in (hole, ~hole, most, lines):
        assert task_of(observe(scan, Mask(missing), prior)) == "mask"


def test_scattered_pixels_have_factors_of_their_own_or_say_that_they_have_none(prior, scan, quick, calibration):
    few = Mask.random(scan.shape, 0.9, seed=2)
    plain, found = both(scan, few, prior, quick)
    record = found.provenance["calibration"]
    assert not record["applied"] and "so few pixels were measured" in record["label"]
    np.testing.assert_array_equal(found.variance, plain.variance)
    own = Curve((0.04,), ((1.2, 1.2, 1.3, 1.3),))
    known = copy.copy(prior)
    curves = dict(calibration.curves) | {("map", "scattered", "tissue"): own}
    known.info = replace(
        prior.info, calibration=replace(calibration, curves=curves, scales={"scattered": 2.0, "mask": 0.5})
    )
    written = replace(known.info.calibration, curves={("map", "scattered", "tissue"): own}).to_dict()
    assert Calibration.from_dict(written).curves["map", "scattered", "tissue"] == own
    _, found = both(scan, few, known, quick)
    assert found.provenance["calibration"]["task"] == "scattered" and found.provenance["calibration"]["scale"] == 2.0
    tissue = few.missing.numpy() & (plain.std > 0)
    assert np.median(found.std[tissue] / plain.std[tissue]) == pytest.approx(2 * 1.3, rel=1e-3)
