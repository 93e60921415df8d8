"""Gaussians of the latents: draws have the mean and the covariance that each of them says."""

from __future__ import annotations

import pytest
import torch

from napari_brgm.inference import FactorGaussian, Gaussian, LowRankGaussian


def test_draws_have_mean_and_spread_of_q():
    """Few draws: their mean is exact, and their mean square is right on average."""
    q = Gaussian(torch.tensor([[1.0, -2.0]]), torch.tensor([[0.5, 3.0]]))
    generator = torch.Generator().manual_seed(0)
    squares = torch.zeros(1, 2)
    for _ in range(4000):
        draws = q.sample(3, generator)
        assert draws.shape == (3, 1, 2)
        squares += (draws - q.mean).square().mean(dim=0) / 4000
    torch.testing.assert_close(draws.mean(dim=0), q.mean)
    torch.testing.assert_close(squares.sqrt(), q.std, rtol=0.03, atol=0)


def made(kind: str) -> tuple[FactorGaussian | LowRankGaussian, torch.Tensor]:
    """One over 2 x 3 numbers, and its covariance (6, 6) by dense matrices."""
    generator = torch.Generator().manual_seed(1)
    mean, scale = torch.randn(2, 3, generator=generator), 0.5 + torch.rand(2, 3, generator=generator)
    if kind == "factor":
        factor = torch.randn(2, 2, 3, generator=generator)
        f = factor.flatten(1)
        return FactorGaussian(mean, scale, factor), torch.diag(scale.flatten().square()) + f.T @ f
    u = torch.linalg.qr(torch.randn(6, 3, generator=generator)).Q
    gain = torch.tensor([-0.5, 2.0, 30.0])
    precision = torch.eye(6) + u * gain @ u.T
    s = torch.diag(scale.flatten())
    return LowRankGaussian(mean, scale, u, gain), s @ torch.linalg.inv(precision) @ s


@pytest.mark.parametrize("kind", ["factor", "low rank"])
def test_draws_have_the_covariance(kind):
    """Catches a root that is taken twice or not at all, and columns that are mixed up with rows."""
    q, covariance = made(kind)
    draws = q.sample(40_000, torch.Generator().manual_seed(0))
    assert draws.shape == (40_000, 2, 3)
    torch.testing.assert_close(draws.mean(dim=0), q.mean, atol=1e-5, rtol=0)
    assert (torch.cov(draws.flatten(1).T) - covariance).norm() < 0.03 * covariance.norm()


def test_the_best_diagonal_and_what_is_beyond_it():
    """1 / sqrt of the precision's diagonal, and columns whose squares are the rest, as far as it is positive."""
    q, covariance = made("low rank")
    std = torch.linalg.inv(covariance).diagonal().rsqrt()
    torch.testing.assert_close(q.std.flatten(), std)
    columns = q.excess(6).flatten(1)
    values, vectors = torch.linalg.eigh(covariance - torch.diag(std.square()))
    torch.testing.assert_close(columns.T @ columns, vectors * values.clamp(min=0) @ vectors.T, rtol=1e-3, atol=1e-4)
    assert q.excess(9).shape == (9, 2, 3) and q.excess(9)[6:].abs().max() == 0
    assert Gaussian(q.mean, q.scale).excess(4).abs().max() == 0
