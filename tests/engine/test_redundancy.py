"""How much of what a measured pixel says its measured neighbours say, too."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from napari_brgm.corruptions import Downsample, Mask
from napari_brgm.engine.observed import observe
from napari_brgm.engine.redundancy import redundancy
from napari_brgm.priors.residual_field import ResidualField

AREA = 30.0


def hole(side: int, of: int) -> np.ndarray:
    missing = np.zeros((side, side), dtype=bool)
    missing[side // 2 - of // 2 : side // 2 + of // 2, side // 2 - of // 2 : side // 2 + of // 2] = True
    return missing


def test_alone_a_pixel_errs_by_itself_and_among_others_as_all_together():
    measured = np.zeros((41, 41), dtype=bool)
    measured[20, 20] = True
    assert redundancy(measured, AREA, (1.0, 1.0))[20, 20] == pytest.approx(1 / AREA, rel=0.02)
    far = redundancy(~hole(61, 4), AREA, (1.0, 1.0))
    assert far[5, 5] == far[0, 30] == 1, "far from the hole, and at the border of the image"


def test_at_a_straight_rim_half_err_alike():
    """Half the plane, and the pixel's own row."""
    measured = np.ones((60, 60), dtype=bool)
    measured[30:] = False
    found = redundancy(measured, AREA, (1.0, 1.0))[29, 30]
    assert found == pytest.approx(0.5 + 0.5 / AREA**0.5, rel=0.02)


def test_smaller_pixels_say_the_same_of_the_same_place():
    """Half the pixel size: each of four pixels in one's place, with four times its variance, has the same share."""
    coarse = redundancy(~hole(40, 12), AREA, (1.0, 1.0))
    fine = redundancy(~hole(80, 24), AREA, (0.5, 0.5))
    together = fine.reshape(40, 2, 40, 2).mean(axis=(1, 3))
    assert np.abs(together - coarse).max() < 0.06
    flat = redundancy(np.repeat(~hole(40, 12), 2, axis=0), AREA, (0.5, 1.0))
    assert np.abs(flat.reshape(40, 2, 40).mean(axis=1) - coarse).max() < 0.06


def test_nothing_is_said_where_all_is_measured_or_pixels_are_larger_than_errors_reach():
    assert redundancy(np.ones((9, 9), dtype=bool), AREA, (1.0, 1.0)) is None
    assert redundancy(~hole(9, 2), AREA, (6.0, 6.0)) is None


def test_noise_of_observed_pixels_follows_it(linear_prior, scan, with_parts):
    side = len(scan)
    field = ResidualField(
        torch.full((side, side), 8.0), torch.zeros(side, side).index_put_((torch.tensor(0),) * 2, torch.tensor(1.0))
    )
    prior = with_parts(linear_prior, residual=field)
    prior.info = replace(linear_prior.info, representation_sigma=40.0)
    missing = hole(side, 8)
    seen = ~missing
    variance = observe(scan, Mask(missing), prior, noise_sigma=0.0, pose=False).likelihood.observation.variance[0, 0]
    alike = redundancy(seen, (40.0 / 8.0) ** 2, (1.0, 1.0))
    assert np.allclose(variance.numpy()[seen], 40.0**2 * alike[seen], rtol=1e-4)
    whole = observe(scan[::2, ::2], Downsample(2), prior, noise_sigma=0.0).likelihood.observation.precision
    assert whole.std() == 0, "all was measured"
