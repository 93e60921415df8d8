"""Correlations along the slice axis: what was put in is found again, and every mixture is a correlation."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from napari_brgm.errors import InputError
from napari_brgm.priors.through_plane import FREQUENCIES, ThroughPlane, correlations

SHARES, COUNT = 33, len(FREQUENCIES)


def gaussian(length: float, lags: int = 12) -> torch.Tensor:
    return torch.exp(-torch.arange(lags, dtype=torch.float64).square() / (2 * length**2))


def one(share: int, count: int = COUNT) -> torch.Tensor:
    """Shares of which all rows are of one known correlation."""
    return torch.eye(SHARES)[share].repeat(count, 1)


def test_measured_correlations_are_met_at_any_distance():
    """And between the lags that were measured: catches lengths in slices where mm are meant."""
    rough, smooth = gaussian(1.3), gaussian(6.0)
    grain = 0.9 * rough + 0.1 * (torch.arange(12) == 0)
    field = torch.stack([smooth] * (COUNT - 1) + [grain])
    found = ThroughPlane.fit(torch.stack([rough, smooth]), field, lag_mm=1.0)
    places = torch.tensor([0.0, 1.0, 2.5, 7.0])
    for row, length in zip(found.of_latents(places), (1.3, 6.0), strict=True):
        wanted = torch.exp(-(places[:, None] - places[None]).square() / (2 * length**2))
        torch.testing.assert_close(row, wanted.double(), atol=0.02, rtol=0)
    first = found.of_residual(places)[:, 0, 1]
    assert float(first[0]) == pytest.approx(float(smooth[1]), abs=0.02)
    assert float(first[-1]) == pytest.approx(0.9 * float(rough[1]), abs=0.02)
    other = ThroughPlane.fit(torch.stack([rough, smooth]), field, lag_mm=2.0)
    torch.testing.assert_close(other.of_latents(2 * places), found.of_latents(places), atol=0.03, rtol=0)


def test_every_mixture_is_a_correlation():
    """Also of many slices that nearly coincide: a factor is wanted of it."""
    shares = torch.rand(5, SHARES)
    through = ThroughPlane(shares / shares.sum(dim=1, keepdim=True), one(20))
    places = torch.cat([torch.linspace(0, 3, 60), torch.tensor([1e-3, 500.0])])
    for matrices in (through.of_latents(places), through.of_residual(places)):
        torch.testing.assert_close(matrices.diagonal(dim1=1, dim2=2), torch.ones(len(matrices), 62).double())
        torch.linalg.cholesky(matrices)
        assert (matrices[:, -1, :-1].abs() < 0.3).all()


def test_noise_is_no_correlation():
    noise = -torch.ones(COUNT, 12, dtype=torch.float64)
    found = ThroughPlane.fit(gaussian(2.0)[None], noise, lag_mm=1.0)
    assert found.of_residual(torch.tensor([0.0, 1.0]))[:, 0, 1].abs().max() < 1e-9
    assert found.reach == 0


def test_a_slice_helps_as_far_as_its_residual_field_goes_on():
    """Catches a reach in lags, or that of the broadest features, which would have windows read all that is there."""
    lags = torch.arange(40, dtype=torch.float64)
    field = torch.exp(-lags.square()[None] / (2 * torch.linspace(9.0, 1.0, COUNT)[:, None] ** 2))
    found = ThroughPlane.fit(field[:2], field, lag_mm=0.5)
    length = 0.5 * float(torch.linspace(9.0, 1.0, COUNT)[COUNT // 2])
    assert found.reach == pytest.approx(length * np.sqrt(2 * np.log(5)), abs=0.4)


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
        ThroughPlane(shares, one(0))


@pytest.mark.parametrize("residual", [one(0)[:-1], torch.eye(SHARES)[0], one(0) / 2])
def test_a_residual_field_needs_shares_at_every_frequency(residual):
    """Among them those of the earlier form, one row for all frequencies."""
    with pytest.raises(InputError, match="add up to 1"):
        ThroughPlane(one(0, 2), residual)
