"""Observations that are finer than the generator's frame, in blocks."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from napari_brgm import restore
from napari_brgm.corruptions import Blur, Compose, Downsample, Identity, Mask
from napari_brgm.corruptions.axes import Axes, block_means
from napari_brgm.engine import binned as module
from napari_brgm.engine.alignment import Alignment
from napari_brgm.engine.detail import NativeDetail
from napari_brgm.engine.observed import observe
from napari_brgm.likelihood import to_grey
from napari_brgm.settings import preset


@pytest.fixture
def radiograph(linear_prior):
    """``make(side)``: a draw of the prior (24 px) on a finer grid, with structure that the prior cannot draw."""

    def make(side: int) -> np.ndarray:
        image = torch.nn.functional.interpolate(
            to_grey(linear_prior.sample(1, seed=5)), size=(side, side), mode="bilinear", align_corners=False
        )[0, 0].numpy()
        return (image + np.random.default_rng(0).normal(0, 2, image.shape)).astype(np.float32)

    return make


def hole_of(side: int) -> np.ndarray:
    hole = np.zeros((side, side), dtype=bool)
    hole[side // 3 : side // 2, side // 4 : side // 2] = True
    hole[side // 8, :] = True  # a scratch, one pixel wide
    return hole


def observed(image, corruption, prior, **changes):
    spacing = prior.info.spacing_mm
    return observe(image, corruption, prior, spacing=(spacing * 24 / len(image),) * 2, pose=False, **changes)


def test_blocks_are_at_most_half_a_pixel_of_the_frame(linear_prior, radiograph):
    for side, block in ((24, 1), (40, 1), (48, 1), (96, 2), (200, 4), (384, 8)):
        problem = observed(radiograph(side), Mask(hole_of(side)), linear_prior)
        assert problem.likelihood.y.shape[-1] == -(-side // block)
        assert max(problem.pixel) <= 0.5 or block == 1
        assert problem.pixel[0] == pytest.approx(block * 24 / side)


def test_a_block_holds_the_mean_of_its_measured_pixels_and_their_share(linear_prior, radiograph):
    image, hole = radiograph(192), hole_of(192)
    problem = observed(image, Mask(hole), linear_prior, field=False)
    y, share = problem.likelihood.y[0, 0].numpy(), problem.likelihood.observation.precision[0, 0].numpy()
    grey = problem.window.to_grey(image)
    for row, column in ((0, 0), (6, 10), (16, 15), (20, 13)):
        part = np.s_[4 * row : 4 * row + 4, 4 * column : 4 * column + 4]
        seen = ~hole[part]
        assert share[row, column] == pytest.approx(seen.mean())
        assert y[row, column] == pytest.approx(grey[part][seen].mean() if seen.any() else 0.0, abs=1e-3)
    assert 0 < share[6].min() < 1  # the scratch hides a part of its blocks only
    own = observed(radiograph(48), Mask(hole_of(48)), linear_prior).noise
    assert problem.noise.representation == pytest.approx(own.representation)  # as of pixels of that size


@pytest.mark.parametrize("stripe", [1, 1000, 1 << 21])
def test_stripes_give_the_same_blocks(linear_prior, radiograph, monkeypatch, stripe):
    image, hole = radiograph(210), hole_of(210)  # no multiple of the block
    whole = observed(image, Mask(hole), linear_prior).likelihood
    monkeypatch.setattr(module, "_STRIPE", stripe)
    again = observed(image, Mask(hole), linear_prior).likelihood
    torch.testing.assert_close(again.y, whole.y)
    assert torch.equal(again.observation.measured, whole.observation.measured)


@pytest.mark.parametrize("kernel", ["area", "gaussian", "bicubic"])
def test_super_resolution_sees_what_it_saw_on_the_fine_grid(linear_prior, radiograph, kernel):
    """The product of frame and kernel, exactly: the fine grid is not visited."""
    low = radiograph(48)
    f = Downsample(4, kernel=kernel)
    problem = observed(low, f, linear_prior)
    observation = problem.likelihood.observation
    assert isinstance(observation.frame, Axes) and observation.corruption == Identity()
    x = to_grey(linear_prior.sample(3, seed=1))
    torch.testing.assert_close(observation.A(x), f.A(problem.placed.frame.A(x)), rtol=1e-4, atol=1e-2)
    y = torch.randn(3, 1, *observation.frame.shape, generator=torch.Generator().manual_seed(0))
    assert float((observation.A(x) * y).sum()) == pytest.approx(float((x * observation.A_adjoint(y)).sum()), rel=1e-4)


def test_means_of_the_generators_own_part_are_exact(linear_prior, radiograph):
    """Of partly hidden blocks too, over the pixels that are left of them; and the adjoint is one."""
    side = 210  # no multiple of the block
    hole = hole_of(side) | (np.random.default_rng(1).random((side, side)) < 0.01)
    problem = observed(radiograph(side), Mask(hole), linear_prior)
    observation = problem.likelihood.observation
    x = to_grey(linear_prior.sample(2, seed=3))
    fine, seen = problem.placed.frame.A(x), torch.from_numpy(~hole).float()[None, None]
    pad = (0, -side % 4, 0, -side % 4)
    sums, counts = (torch.nn.functional.avg_pool2d(torch.nn.functional.pad(a * seen, pad), 4) for a in (fine, seen))
    assert len(observation.frame.partial.where) > 50
    torch.testing.assert_close(observation.A(x), sums / counts.clamp(min=1e-6), rtol=1e-4, atol=1e-2)
    y = torch.randn(2, 1, *observation.frame.shape, generator=torch.Generator().manual_seed(0))
    assert float((observation.A(x) * y).sum()) == pytest.approx(float((x * observation.A_adjoint(y)).sum()), rel=1e-4)


def test_a_turned_frame_samples_the_boxes(linear_prior, radiograph):
    image, side = radiograph(192), 192
    turned = Alignment(row=0.5, column=-1.0, scale=1.0, rotation=20.0, low=0.0, high=255.0)
    spacing = (linear_prior.info.spacing_mm * 24 / side,) * 2
    problem = observe(image, Mask(hole_of(side)), linear_prior, spacing=spacing, alignment=turned)
    x = to_grey(linear_prior.sample(2, seed=3))
    means = torch.nn.functional.avg_pool2d(problem.placed.frame.A(x), 4)
    seen = problem.likelihood.observation.measured
    apart = (problem.likelihood.observation.A(x) - means * seen)[..., 2:-2, 2:-2]
    assert float(apart.abs().max()) < 0.03 * float(means.std()) * 10 and problem.likelihood.y.shape[-1] == 48


@pytest.mark.parametrize("corruption", [Compose(Blur(3.0), Downsample(2)), Blur(3.0)])
def test_what_cannot_be_brought_to_blocks_keeps_its_pixels(linear_prior, radiograph, corruption):
    problem = observed(radiograph(192), corruption, linear_prior)
    assert problem.likelihood.y.shape[-1] in (192, 48)
    assert problem.likelihood.observation.A(to_grey(linear_prior.sample(1))).shape == problem.likelihood.y.shape


def test_a_large_scan_is_restored_as_a_small_one_of_its_means(linear_prior, radiograph, monkeypatch):
    """The same draws, on finer pixels, but for the detail that each has of its own; measured ones bit for bit."""
    monkeypatch.setattr(NativeDetail, "of", lambda *_, **__: None)
    side, millimetres = 192, linear_prior.info.spacing_mm * 24
    image, hole = radiograph(side), np.zeros((side, side), dtype=bool)
    hole[64:96, 48:96] = True
    settings = preset("default").but(fit_pose=False)
    low, high = float(image[~hole].min()), float(image[~hole].max())
    window = Alignment(row=0.0, column=0.0, scale=1.0, rotation=0.0, low=low, high=high)

    def restored(picture, missing, noise):
        return restore(
            picture, Mask(missing), linear_prior, samples=8, seed=0, device="cpu", settings=settings,
            spacing=(millimetres / len(picture),) * 2, noise_sigma=noise, alignment=window,
        )  # fmt: skip

    large = restored(image, hole, 2.0)
    means = image.reshape(48, 4, 48, 4).mean(axis=(1, 3))
    small = restored(means, hole[::4, ::4], 0.5)
    assert np.array_equal(large.estimate[~hole], image[~hole])
    blocks = large.samples.reshape(8, 48, 4, 48, 4).mean(axis=(2, 4))
    apart = (blocks - small.samples)[:, hole[::4, ::4]]
    assert np.sqrt(np.mean(apart**2)) < 0.15 * small.std[hole[::4, ::4]].mean()
    assert large.provenance["noise"]["pixel"] > small.provenance["noise"]["pixel"]  # told of the scan's own pixels


def test_the_last_block_is_the_mean_of_what_is_left():
    matrix = np.arange(14.0).reshape(7, 2)
    assert block_means(matrix, 3).tolist() == [[2.0, 3.0], [8.0, 9.0], [12.0, 13.0]]
