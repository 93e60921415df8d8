"""Correlations along the slice axis, measured on stacks that were drawn with known ones."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from napari_brgm.datasets import Framing, SliceSet
from napari_brgm.errors import InputError
from napari_brgm.priors.latents import LatentStatistics
from napari_brgm.priors.linear_gaussian import LinearGaussian
from napari_brgm.priors.linear_model import LinearModel
from napari_brgm.priors.parts import Line, Parts
from napari_brgm.priors.residual_field import ResidualField
from napari_brgm.priors.stack_field import radii
from napari_brgm.training.stacks import fit_through_plane, stacks_of

SIDE, RANK, SUBJECTS, SLICES = 16, 6, 150, 10


def smooth(shape: tuple[int, ...], length: float, seed: int) -> torch.Tensor:
    """White but along axis 1, where neighbours are correlated as a Gaussian of this length, in slices."""
    at = torch.arange(SLICES, dtype=torch.float64)
    matrix = torch.exp(-(at[:, None] - at[None]).square() / (2 * length**2)) + 1e-6 * torch.eye(SLICES)
    factor = torch.linalg.cholesky(matrix).float()
    white = torch.randn(shape, generator=torch.Generator().manual_seed(seed))
    return torch.einsum("ij,sj...->si...", factor, white)


@pytest.fixture(scope="module")
def prior():
    rows = torch.arange(SIDE) / SIDE * torch.pi
    waves = torch.stack([torch.outer(torch.sin((k + 1) * rows), torch.sin((k % 3 + 1) * rows)) for k in range(RANK)])
    model = LinearModel(torch.zeros(1, SIDE, SIDE), 0.25 * waves[:, None], 1e-4)
    found = LinearGaussian(model.mean, model.coarse, model.noise_variance)
    lag = torch.zeros(SIDE, SIDE)
    lag[0, 0] = 1.0
    line = Line(model, exact=True, latents=LatentStatistics(torch.zeros(RANK), torch.eye(RANK)))
    found.parts = Parts(line=line, residual=ResidualField(torch.full((SIDE, SIDE), 4.0), lag))
    return found


def test_what_stacks_were_drawn_with_is_found(prior):
    """The latents' 5 mm and the residual field's 4 and 2.4 mm, coarse and fine, of slices 2 mm apart: catches lags
    counted in slices, and frequencies that are mixed up.
    """
    latents = smooth((SUBJECTS, SLICES, RANK), 2.5, 0)
    at, shape = radii(SIDE), (SUBJECTS, SLICES, 1, SIDE, SIDE)
    broad, grain = (torch.fft.rfft2(smooth(shape, length, seed)) for length, seed in ((2.0, 1), (1.2, 2)))
    missed = 4 / 127.5 * torch.fft.irfft2(torch.where(at < 0.2, broad, grain), s=(SIDE, SIDE))
    images = torch.stack([prior.parts.line.model.synthesize(one[:, None]) for one in latents]) + missed
    said = []
    found = fit_through_plane(prior, images, 2.0, said.append)
    places = torch.tensor([0.0, 2.0, 6.0])
    wanted = torch.exp(-places.square() / (2 * 5.0**2)).double()
    torch.testing.assert_close(found.of_latents(places)[:, 0].mean(dim=0), wanted, atol=0.05, rtol=0)
    apart = found.of_residual(places)[:, 0]
    for row, length in ((apart[4], 4.0), (apart[-2], 2.4)):
        torch.testing.assert_close(row, torch.exp(-places.square() / (2 * length**2)).double(), atol=0.07, rtol=0)
    assert float(apart[1, 1]) > 0.7  # at 0.03, of which 16 pixels hold no wave: no gap between those that they hold
    assert said[-1] == "residual field of fold 5 of 5"


def test_stacks_are_the_slices_of_each_subject():
    images = np.zeros((11, 1, SIDE, SIDE), np.uint8)
    images[:, 0, 0, 0] = np.arange(11)
    subjects = np.array([0] * 5 + [1] * 6)
    slices = SliceSet(images, subjects, tuple(map(str, range(11))), ("a", "b"), Framing(SIDE))
    found = (stacks_of(slices)[:, :, 0, 0, 0] + 1) * 127.5
    torch.testing.assert_close(found, torch.tensor([[0.0, 1, 2, 3, 4], [5, 6, 7, 8, 9]]))
    with pytest.raises(InputError, match="at least four neighbours"):
        stacks_of(SliceSet(images, np.array([0] * 8 + [1] * 3), slices.names, ("a", "b"), Framing(SIDE)))


def test_what_cannot_be_measured_is_refused(prior, linear_prior):
    stacks = torch.zeros(2, 4, 1, SIDE, SIDE)
    with pytest.raises(InputError, match="no linear part and residual field"):
        fit_through_plane(linear_prior, stacks, 1.0)
    for wrong in ((stacks, 0.0), (stacks[..., :8, :8], 1.0)):
        with pytest.raises(InputError, match="16 pixels a side"):
            fit_through_plane(prior, *wrong)
