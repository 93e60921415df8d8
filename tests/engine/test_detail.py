"""Native detail: level and spectrum of the measured, the rim followed, and nothing where the frame is as fine."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from scipy import ndimage

from napari_brgm import restore
from napari_brgm.corruptions import Downsample, Mask
from napari_brgm.engine import detail as module
from napari_brgm.engine.alignment import Alignment
from napari_brgm.engine.detail import NativeDetail
from napari_brgm.engine.detail_balance import balance
from napari_brgm.engine.observed import observe
from napari_brgm.engine.window import Window
from napari_brgm.priors.residual_field import ResidualField

SIDE = 144  # of a scan whose frame has 24: six pixels in one
FLAT = 120.0  # grey levels


def hole_of(side: int = SIDE) -> np.ndarray:
    hole = np.zeros((side, side), dtype=bool)
    hole[side // 3 : 2 * side // 3, side // 4 : 3 * side // 4] = True
    return hole


def grain_of(blur: float = 0.7, std: float = 6.0, side: int = SIDE, seed: int = 0) -> np.ndarray:
    white = np.random.default_rng(seed).standard_normal((side, side))
    smooth = ndimage.gaussian_filter(white, blur, mode="wrap")
    return std * smooth / smooth.std()


def problem_of(prior, scan, hole=None, window=(0.0, 255.0)):
    """With a pose that is given: the frame's field of view is the scan's."""
    spacing = (prior.info.spacing_mm * 24 / len(scan),) * 2
    hole = hole_of(len(scan)) if hole is None else hole
    alignment = Alignment(0.0, 0.0, 1.0, 0.0, *window)
    return observe(scan.astype(np.float32), Mask(hole), prior, spacing=spacing, alignment=alignment, noise_sigma=1.0)


def flat_of(grey=FLAT) -> torch.Tensor:
    """What the frame holds, in [-1, 1]."""
    return torch.full((1, 1, 24, 24), grey / 127.5 - 1)


def energy(image: np.ndarray, where: np.ndarray) -> float:
    return float(np.square(image - ndimage.gaussian_filter(image, 1.0))[where].mean())


def filled(problem, detail, count=12, seed=0) -> tuple[np.ndarray, np.ndarray]:
    """Samples (S, H, W) that are flat but for their detail, and what the mean has gained."""
    values = np.full((count, int(problem.free.sum())), problem.window.from_grey(np.float64(FLAT)), np.float32)
    gained = detail.add(values, torch.Generator().manual_seed(seed))
    images = np.repeat(problem.placed.given.image[None], count, axis=0)
    images[:, problem.free] = values
    return images, gained


@pytest.mark.parametrize(("blur", "window"), [(0.0, (0.0, 255.0)), (0.7, (-100.0, 920.0)), (1.5, (0.0, 255.0))])
def test_a_hole_has_the_grain_of_its_surroundings(linear_prior, blur, window):
    """White, and of two colours; in units of the scan's own."""
    scan = np.asarray(Window(*window).from_grey(FLAT + grain_of(blur)))
    problem = problem_of(linear_prior, scan, window=window)
    images, _ = filled(problem, NativeDetail.of(problem, flat_of()))
    inside, ring = problem.free, problem.measured
    near = ring & (ndimage.distance_transform_edt(ring) <= 10)  # of broad grain too few pixels to tell
    for sigma, beside in ((1.0, near), (2.0, ring)):
        here, there = (
            np.mean([np.square(x - ndimage.gaussian_filter(x, sigma))[part].mean() for x in images])
            for part in (inside, beside)
        )
        assert here == pytest.approx(there, rel=0.15)
    np.testing.assert_array_equal(images[0][ring], scan[ring].astype(np.float32))


def test_where_it_is_brighter_there_may_be_more(linear_prior):
    """Catches one level for all: air is as clean as it was, and bright tissue as rough."""
    ramp = np.linspace(40, 220, SIDE)[None] * np.ones((SIDE, 1))
    scan = ramp + grain_of(std=1.0) * ramp / 20
    problem = problem_of(linear_prior, scan)
    frame = torch.from_numpy(ramp[::6, ::6].copy()).float()[None, None] / 127.5 - 1
    values = np.repeat(ramp[problem.free][None], 12, axis=0).astype(np.float32)
    NativeDetail.of(problem, frame).add(values, torch.Generator().manual_seed(0))
    grey = ramp[problem.free]
    for part in (grey < 105, grey > 155):
        assert values.std(axis=0)[part].mean() == pytest.approx(grey[part].mean() / 20, rel=0.2)


def test_edges_are_no_grain_of_what_is_flat_beside_them(linear_prior):
    """Waves above, flat below: a smooth scan's edges speckled all that was as bright."""
    wave = np.where(np.arange(SIDE)[:, None] < SIDE // 2, 60 * np.sin(np.arange(SIDE)[None] * 2 * np.pi / 18), 0.0)
    scan = FLAT + wave + grain_of(std=0.5)
    problem = problem_of(linear_prior, scan)
    blocks = scan.reshape(24, 6, 24, 6).mean(axis=(1, 3))
    frame = torch.from_numpy(blocks).float()[None, None] / 127.5 - 1
    steep = (problem.free & (np.arange(SIDE)[:, None] < SIDE // 2 - 6))[problem.free]
    flat = (problem.free & (np.arange(SIDE)[:, None] > SIDE // 2 + 6))[problem.free]
    drawn = problem.finish(frame, consistent=True)
    spread = []
    for sharp in (False, True):
        values = np.repeat(drawn, 12, axis=0).astype(np.float32)
        NativeDetail.of(problem, frame, sharp=sharp).add(values, torch.Generator().manual_seed(0))
        spread.append(values.std(axis=0))
    plain, beside_sharp = spread
    assert plain[flat].mean() < 2 and plain[steep].mean() > 5 * plain[flat].mean()
    assert beside_sharp[steep].mean() < 0.5 * plain[steep].mean()  # what sharpening gives is not added again


def test_next_to_the_rim_it_is_what_was_measured_there(linear_prior):
    """A broad grain goes on into the hole; further in nothing is known of it."""
    scan = FLAT + grain_of(2.0)
    problem = problem_of(linear_prior, scan)
    detail = NativeDetail.of(problem, flat_of())
    images, gained = filled(problem, detail, count=40)
    depth = ndimage.distance_transform_edt(problem.free)[problem.free]
    truth = scan[problem.free] - FLAT
    beside, deep = depth <= 1, depth > 10
    assert np.square(truth - gained)[beside].mean() < 0.35 * np.square(truth)[beside].mean()
    assert np.square(gained)[deep].mean() < 0.1 * np.square(truth)[deep].mean()
    spread = images[:, problem.free].std(axis=0)
    assert spread[beside].mean() < 0.7 * spread[deep].mean()
    alone = detail.mean(np.full(len(truth), FLAT))
    np.testing.assert_allclose(alone, gained, atol=0.05)


@pytest.mark.parametrize("shape", [(96, 96), (90, 125), (200, 64)])
def test_its_power_is_nowhere_negative(linear_prior, shape):
    """Catches a transfer above 1 by rounding: the root of that power is no number. Long waves are left to e."""
    problem = problem_of(linear_prior, FLAT + grain_of())
    detail = NativeDetail.of(problem, flat_of())
    for ratio in np.linspace(0.1, 0.9, 17):
        detail.problem.placed.frame.__dict__["ratio"] = (ratio, ratio)
        power = detail.model.spectrum(shape)
        assert (power >= 0).all()
        assert power[0, 0] < 0.05 * power.mean()


def test_the_mean_of_draws_is_not_noise(linear_prior):
    problem = problem_of(linear_prior, FLAT + grain_of())
    images, gained = filled(problem, NativeDetail.of(problem, flat_of()), count=5)
    np.testing.assert_allclose(images[:, problem.free].mean(axis=0), FLAT + gained, atol=1e-3)


def test_a_seed_says_what_is_drawn(linear_prior):
    problem = problem_of(linear_prior, FLAT + grain_of())
    detail = NativeDetail.of(problem, flat_of())
    first, again, other = (filled(problem, detail, seed=seed)[0] for seed in (0, 0, 1))
    np.testing.assert_array_equal(first, again)
    assert np.abs(first - other)[:, problem.free].mean() > 1


def test_large_holes_and_ragged_rims_are_bounded(linear_prior, monkeypatch):
    """A torus smaller than the hole, and fewer points than a rim has, leave level and rim as they are."""
    scan = FLAT + grain_of(1.0)
    hole = hole_of() | (np.random.default_rng(1).random((SIDE, SIDE)) < 0.02)
    problem = problem_of(linear_prior, scan, hole)
    detail = NativeDetail.of(problem, flat_of())
    images, gained = filled(problem, detail)
    monkeypatch.setattr(module, "_TORUS", 12 * 80 * 80)
    monkeypatch.setattr(module, "_MOST", 150)
    assert detail._torus(12)[0] <= 90
    bounded, near = filled(problem, detail)
    depth = ndimage.distance_transform_edt(hole)
    assert energy(bounded[0], hole) == pytest.approx(energy(images[0], hole), rel=0.1)
    assert np.sqrt(np.square(near - gained)[depth[hole] <= 1].mean()) < 0.2 * np.sqrt(
        np.square(gained)[depth[hole] <= 1].mean()
    )


def test_nothing_is_finer_than_a_frame_as_fine(linear_prior):
    """Catches results on a prior's own grid, and those of other corruptions, that are no longer what they were."""
    own = problem_of(linear_prior, FLAT + grain_of(side=24))
    assert NativeDetail.of(own, flat_of()) is None
    nearly = problem_of(linear_prior, FLAT + grain_of(side=26), hole_of(26))
    assert NativeDetail.of(nearly, flat_of()) is None
    coarse = observe(FLAT + grain_of(side=24), Downsample(4), linear_prior, noise_sigma=1.0)
    assert NativeDetail.of(coarse, flat_of()) is None
    smooth = problem_of(linear_prior, FLAT + np.linspace(0, 30, SIDE)[:, None] * np.ones(SIDE))
    assert NativeDetail.of(smooth, flat_of()) is None


def test_beyond_the_frame_nothing_is_added(linear_prior):
    """What lies outside the generator's field of view is left black."""
    scan = FLAT + grain_of()
    hole = hole_of()
    hole[:30, :10] = True
    spacing = (linear_prior.info.spacing_mm * 24 / SIDE,) * 2
    moved = Alignment(0.0, 30.0, 1.0, 0.0, 0.0, 255.0)
    problem = observe(scan.astype(np.float32), Mask(hole), linear_prior, spacing=spacing, alignment=moved)
    assert problem.unseen.any()
    images, gained = filled(problem, NativeDetail.of(problem, flat_of()))
    assert (images[:, problem.unseen] == np.float32(FLAT)).all()
    assert (gained[problem.unseen[problem.free]] == 0).all()


def test_restore_adds_it(linear_prior, with_parts, quick):
    """To samples and their variance after all scaling; to estimate and mean alike; only where e is modelled."""
    correlation = torch.zeros(24, 24)
    correlation[0, 0] = 1
    prior = with_parts(linear_prior, residual=ResidualField(torch.full((24, 24), 6.0), correlation))
    drawn = (linear_prior.sample(1, seed=5)[0, 0].double().numpy() + 1) * 127.5
    scan = ndimage.zoom(drawn, 6, order=1, grid_mode=True, mode="nearest") + 60 + grain_of()
    hole, spacing = hole_of(), (prior.info.spacing_mm / 6,) * 2
    settings = quick.but(fit_pose=False)
    result = restore(scan, Mask(hole), prior, samples=6, spacing=spacing, settings=settings)
    plain = restore(scan, Mask(hole), prior, samples=6, spacing=spacing, settings=settings.but(residual_field=False))
    np.testing.assert_array_equal(result.estimate[~hole], scan[~hole])
    ring = ~hole & ndimage.binary_dilation(hole, iterations=12)
    there, deep = energy(scan, ring), ndimage.binary_erosion(hole, iterations=5)
    assert energy(result.samples[0], deep) == pytest.approx(there, rel=0.25)
    assert energy(plain.samples[0], deep) < 0.1 * there
    np.testing.assert_allclose(result.samples.mean(axis=0)[hole], result.mean[hole], atol=0.01)
    alone = restore(scan, Mask(hole), prior, samples=0, spacing=spacing, settings=settings)
    np.testing.assert_array_equal(alone.estimate, result.estimate)
    assert result.variance[hole].mean() > 25


def test_where_there_is_no_detail_none_is_added(linear_prior):
    """As round a hole in what is black throughout, whose spectrum is empty: it ended in an error of torch."""
    problem = problem_of(linear_prior, FLAT + grain_of())
    detail = NativeDetail.of(problem, flat_of())
    assert detail is not None
    empty = replace(detail, model=replace(detail.model, covariance=np.zeros_like(detail.model.covariance)))
    values = np.full((3, int(problem.free.sum())), FLAT, np.float32)
    gained = empty.add(values, torch.Generator().manual_seed(0))
    assert not gained.any()
    np.testing.assert_array_equal(values, np.float32(FLAT))
    assert not empty.mean(values[0]).any()


def test_draws_that_are_as_rough_as_the_scan_get_no_more(linear_prior):
    """Catches detail that is added to a residual field's own grain: on films samples had twice the ring's."""
    problem = problem_of(linear_prior, FLAT + grain_of())
    detail = NativeDetail.of(problem, flat_of())
    rough = (FLAT + np.stack([grain_of(seed=k)[problem.free] for k in (1, 2)])).astype(np.float32)
    smooth = np.full_like(rough, FLAT)
    much = [float(balance(problem, x, detail.slopes, detail.model).mean()) for x in (rough, smooth)]
    assert much[0] < 0.4 and much[1] == pytest.approx(1, abs=0.15)


def test_detail_is_less_where_it_is_less_beside_the_hole(linear_prior):
    """As bright and as flat on the left as on the right, with a third of the grain: a lung's beside soft tissue's."""
    left = np.arange(SIDE)[None] < SIDE // 2
    scan = FLAT + grain_of() * np.where(left, 1 / 3, 1.0)
    problem = problem_of(linear_prior, scan)
    images, _ = filled(problem, NativeDetail.of(problem, flat_of()))
    spread = images.std(axis=0)
    here, there = (spread[problem.free & side].mean() for side in (left, ~left))
    assert here < 0.75 * there
