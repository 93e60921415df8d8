"""The representation error is what other subjects' slices ask for: white noise its own, correlated noise more."""

from __future__ import annotations

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from napari_brgm.datasets import Framing, SliceSet
from napari_brgm.priors.prior import PriorInfo
from napari_brgm.training.chosen_poses import adapted
from napari_brgm.training.crossfit import fit_folds
from napari_brgm.training.poses import Poses, posed_copies
from napari_brgm.training.recipe import linear_recipe
from napari_brgm.training.tuning import tuned_sigma


def _images(noise, smooth=0, count=600, size=32):
    """Sums of 40 patterns, with noise of so many grey levels, and their subjects."""
    generator = torch.Generator().manual_seed(0)
    patterns = F.interpolate(torch.randn(40, 1, 8, 8, generator=generator), size=(size, size), mode="bicubic")
    latents = torch.randn(count, 40, generator=generator)
    extra = torch.randn(count, 1, size, size, generator=generator)
    if smooth:
        extra = F.avg_pool2d(extra, smooth, 1, smooth // 2, count_include_pad=False)
        extra = extra / extra.std()
    images = torch.einsum("nk,kchw->nchw", latents, patterns) * 0.3 + extra * noise / 127.5
    return images, torch.arange(count) // 4


@pytest.mark.parametrize("noise", [8.0, 30.0])
def test_white_noise_is_found(noise):
    images, subjects = _images(noise)
    found = tuned_sigma(images, fit_folds(images, subjects, 40, mirror=False, folds=3))
    assert found.sigma == pytest.approx(noise, rel=0.25)
    assert len(found.levels) == len(found.errors) and min(found.errors) < 0.5 * max(found.errors)


def test_correlated_residuals_ask_for_more():
    """Catches a rule that takes the residual's size for the noise: the intervals would be far too narrow."""
    images, subjects = _images(8.0, smooth=5)
    folds = [fit_folds(x, subjects, 40, mirror=False, folds=3) for x in (images, _images(8.0)[0])]
    white = tuned_sigma(_images(8.0)[0], folds[1])
    assert tuned_sigma(images, folds[0]).sigma > 1.3 * white.sigma


def _set(images, subjects):
    grey = (images * 127.5 + 127.5).round().clamp(0, 255).to(torch.uint8).numpy()
    names = tuple(f"s{i}" for i in range(int(subjects.max()) + 1))
    return SliceSet(grey, subjects.numpy(), ("",) * len(grey), names, Framing(images.shape[-1]))


@pytest.mark.parametrize("shift", [0.0, 0.09])
def test_poses_are_those_of_the_subjects(shift, tmp_path, smooth_images):
    """Slices of one head that lies still, or as it likes."""
    one = smooth_images(3, 32, seed=1).repeat(40, 1, 1, 1)
    grey = (one * 127.5 + 127.5).round().clamp(0, 255).to(torch.uint8)
    moved = posed_copies(grey, Poses(1, shift, shift, 40 * shift), seed=3).float() / 127.5 - 1
    slices = _set(moved, torch.arange(120) // 3)
    recipe = linear_recipe(PriorInfo("new"), 32)
    lines = []
    chosen = adapted(recipe, slices, tmp_path, lines.append)
    assert (chosen.poses.shift > 0.02) == (shift > 0.02)
    assert adapted(recipe, slices, tmp_path, lines.append) == chosen and len(lines) == 1  # it is kept
    other = _set(moved.flip(-1), torch.arange(120) // 3)
    adapted(recipe, other, tmp_path, lines.append)
    assert len(lines) == 2  # but not for other slices
    assert np.isclose(recipe.poses.shift, 0.01)
