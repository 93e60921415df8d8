"""A posterior that is kept while pixels are hidden and found, against the one that is made anew."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from napari_brgm.corruptions import Frame, Mask
from napari_brgm.engine.redundancy import redundancy
from napari_brgm.inference.kept_posterior import KeptPosterior
from napari_brgm.likelihood import GreyLevels, Likelihood
from napari_brgm.observation import Observation
from napari_brgm.priors.linear_model import LinearModel

SIDE, PRECISION = 48, 1 / 12.0**2
FRAMES = {
    "own": None,
    "turned": Frame((60, 52), SIDE, (0.85, 0.85), (29.5, 25.5), (23.5, 23.5), 7.0),
}


@pytest.fixture(scope="module", params=["own grid", "coarser grid"])
def model(request, smooth_images) -> LinearModel:
    images = smooth_images(60, SIDE)
    return LinearModel.fit(images, 20, grid=None if request.param == "own grid" else SIDE // 2)


def observed(model: LinearModel, frame: Frame | None, missing: np.ndarray) -> Likelihood:
    hidden = torch.from_numpy(missing)
    weight = 0.5 + torch.rand(1, 1, *missing.shape, generator=torch.Generator().manual_seed(1))
    alike = redundancy(~missing, 20.0, (1.0, 1.0))  # so that pixels beside a stroke count for more than before
    weight = weight if alike is None else weight / torch.from_numpy(alike)
    observation = Observation(Mask(hidden), (~hidden).float()[None, None], 12.0, weight, frame)
    truth = model.synthesize(torch.randn(1, 1, 20, generator=torch.Generator().manual_seed(2)))
    y = observation.A((truth + 1) * 127.5)
    noise = 12 * torch.randn(y.shape, generator=torch.Generator().manual_seed(3))
    return Likelihood(observation, y + noise * observation.measured)


def anew(model: LinearModel, likelihood: Likelihood):
    operator = GreyLevels(likelihood.observation)
    shifted = likelihood.y - operator.A(torch.ones_like(model.mean)[None])
    return model.posterior(shifted, operator, 1 / PRECISION)


@pytest.mark.parametrize("kind", FRAMES)
def test_strokes_leave_the_posterior_that_the_last_mask_has(model, kind):
    """Painted in strokes, erased again, painted elsewhere: catches terms lost, or taken out twice."""
    frame = FRAMES[kind]
    shape = (SIDE, SIDE) if frame is None else frame.shape
    pixel = (1.0, 1.0) if frame is None else frame.ratio
    boxes = [(10, 12, 12, 20), (12, 12, 18, 26), (30, 30, 36, 40)]
    masks = []
    for number in range(3):
        mask = np.zeros(shape, dtype=bool)
        for top, left, bottom, right in boxes[: number + 1]:
            mask[top:bottom, left:right] = True
        masks.append(mask)
    erased = masks[2].copy()
    erased[:20] = False
    erased[40, 20] = True
    masks += [erased, masks[1]]
    kept = KeptPosterior(model, observed(model, frame, masks[0]), pixel, PRECISION)
    before = kept.mean
    for mask in masks[1:]:
        likelihood = observed(model, frame, mask)
        kept.observe(likelihood)
        exact = anew(model, likelihood)
        torch.testing.assert_close(kept.mean, exact.mean, rtol=1e-3, atol=1e-3)
        draws = kept.sample(4000, torch.Generator().manual_seed(4))
        torch.testing.assert_close(draws.mean(dim=0), exact.mean, rtol=1e-3, atol=1e-3)
        std = exact.covariance.diagonal().sqrt()
        torch.testing.assert_close(draws.std(dim=0), std, rtol=0.08, atol=0)
        assert (kept.mean - before).norm() > 0.01, "the mask says nothing"
        before = kept.mean


def test_where_most_changes_it_is_made_anew(model):
    few, many = np.zeros((SIDE, SIDE), dtype=bool), np.zeros((SIDE, SIDE), dtype=bool)
    few[:4, :4] = True
    many[:, 10:] = True
    kept = KeptPosterior(model, observed(model, None, few), (1.0, 1.0), PRECISION)
    likelihood = observed(model, None, many)
    kept.observe(likelihood)
    torch.testing.assert_close(kept.mean, anew(model, likelihood).mean, rtol=1e-4, atol=1e-4)
