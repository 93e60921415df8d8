"""Correlations along the slice axis: what was put in is found again, and every mixture is a correlation."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from napari_brgm.errors import InputError
from napari_brgm.priors.through_plane import ThroughPlane, correlations

SHARES = 33


def gaussian(length: float, lags: int = 12) -> torch.Tensor:
    return torch.exp(-torch.arange(lags, dtype=torch.float64).square() / (2 * length**2))


def test_measured_correlations_are_met_at_any_distance():
    """And between the lags that were measured: catches lengths in slices where mm are meant."""
    rough, smooth = gaussian(1.3), gaussian(6.0)
    found = ThroughPlane.fit(torch.stack([rough, smooth]), 0.9 * rough + 0.1 * (torch.arange(12) == 0), lag_mm=1.0)
    places = torch.tensor([0.0, 1.0, 2.5, 7.0])
    for row, length in zip(found.of_latents(places), (1.3, 6.0), strict=True):
        wanted = torch.exp(-(places[:, None] - places[None]).square() / (2 * length**2))
        torch.testing.assert_close(row, wanted.double(), atol=0.02, rtol=0)
    assert float(found.of_residual(places)[0, 1]) == pytest.approx(0.9 * float(rough[1]), abs=0.02)
    other = ThroughPlane.fit(torch.stack([gaussian(1.3), gaussian(6.0)]), rough, lag_mm=2.0)
    torch.testing.assert_close(other.of_latents(2 * places), found.of_latents(places), atol=0.03, rtol=0)


def test_every_mixture_is_a_correlation():
    """Also of many slices that nearly coincide: a factor is wanted of it."""
    shares = torch.rand(5, SHARES)
    through = ThroughPlane(shares / shares.sum(dim=1, keepdim=True), torch.eye(SHARES)[20])
    places = torch.cat([torch.linspace(0, 3, 60), torch.tensor([1e-3, 500.0])])
    for matrices in (through.of_latents(places), through.of_residual(places)[None]):
        torch.testing.assert_close(matrices.diagonal(dim1=1, dim2=2), torch.ones(len(matrices), 62).double())
        torch.linalg.cholesky(matrices)
        assert (matrices[:, -1, :-1].abs() < 0.3).all()


def test_noise_is_no_correlation():
    found = ThroughPlane.fit(gaussian(2.0)[None], -torch.ones(12, dtype=torch.float64), lag_mm=1.0)
    assert float(found.of_residual(torch.tensor([0.0, 1.0]))[0, 1]) == pytest.approx(0, abs=1e-9)


def test_correlations_of_series():
    generator = torch.Generator().manual_seed(0)
    noise = torch.randn(4000, 9, 2, generator=generator)
    values = noise[:, 1:] + noise[:, :-1] * torch.tensor([0.0, 1.0])  # apart, and the mean of neighbours
    found = correlations(values, 3)
    np.testing.assert_allclose(found, [[1, 0, 0], [1, 0.5, 0]], atol=0.03)
    with pytest.raises(InputError, match="at most 8 lags"):
        correlations(values, 9)


@pytest.mark.parametrize("shares", [torch.ones(2, SHARES), torch.ones(2, 5) / 5, -torch.eye(SHARES)[:2]])
def test_what_are_no_shares_is_refused(shares):
    with pytest.raises(InputError, match="add up to 1"):
        ThroughPlane(shares, torch.eye(SHARES)[0])
