"""Statistics of latents that are too many for a covariance: principal components by the Gram matrix."""

from __future__ import annotations

import pytest
import torch

from napari_brgm.priors.prior import LowRankStatistics

WIDE = 9000  # more than the two blocks of columns in which the Gram matrix is added up


@pytest.fixture(scope="module")
def latents() -> torch.Tensor:
    """Thirty, with eight directions of falling spread round a mean that is not zero."""
    generator = torch.Generator().manual_seed(0)
    directions = torch.linalg.qr(torch.randn(WIDE, 8, generator=generator)).Q.T
    spread = torch.logspace(1, -0.5, 8)
    return 2 + torch.randn(30, 8, generator=generator) * spread @ directions


@pytest.mark.parametrize("components", [3, 8])
def test_components_are_those_of_a_singular_value_decomposition(latents, components):
    found = LowRankStatistics.of(latents, components)
    centred = (latents - latents.mean(dim=0)).double()
    _, values, directions = torch.linalg.svd(centred, full_matrices=False)
    wanted = directions[:components] * (values[:components] / 30**0.5)[:, None]
    assert found.rank == components
    signs = (found.basis.double() * wanted).sum(dim=1).sign()
    torch.testing.assert_close(found.basis.double() * signs[:, None], wanted, rtol=1e-3, atol=1e-4)
    torch.testing.assert_close(found.mean, latents.mean(dim=0))
    torch.testing.assert_close(found.std.square(), wanted.float().square().sum(dim=0), rtol=1e-2, atol=1e-6)


def test_colour_and_whiten_are_inverse_on_the_span(latents):
    found = LowRankStatistics.of(latents, 8)
    u = torch.randn(4, 2, 8, generator=torch.Generator().manual_seed(1))
    w = found.colour(u)
    assert w.shape == (4, 2, WIDE)
    torch.testing.assert_close(found.whiten(w), u, rtol=1e-3, atol=1e-3)
    torch.testing.assert_close(found.colour(found.whiten(latents)), latents, rtol=1e-3, atol=1e-3)
    away = torch.randn(WIDE, generator=torch.Generator().manual_seed(2))
    away -= found.basis.T @ torch.linalg.lstsq(found.basis.T, away[:, None]).solution[:, 0]
    torch.testing.assert_close(found.whiten(w + away), u, rtol=1e-2, atol=1e-2)  # projected on the span
    white = found.whiten(latents)
    torch.testing.assert_close(white.T @ white / 30, torch.eye(8), rtol=0, atol=2e-3)


def test_samples_have_the_covariance(latents):
    few = torch.arange(0, WIDE, 600)
    found = LowRankStatistics.of(latents, 8)
    u = torch.randn(4000, 8, generator=torch.Generator().manual_seed(3))
    drawn = torch.cov(found.colour(u)[:, few].T)
    wanted = torch.cov(latents[:, few].T, correction=0)
    assert (drawn - wanted).norm() < 0.08 * wanted.norm()


def test_no_more_components_than_the_latents_have(latents):
    """Catches components that are rounding alone, along which whitened coordinates have no meaning."""
    assert LowRankStatistics.of(latents, 256).rank == 8
    assert LowRankStatistics.of(latents[:4], 256).rank == 3
    alike = LowRankStatistics.of(latents[:1].expand(5, -1), 4)
    assert alike.rank == 1
    torch.testing.assert_close(alike.colour(torch.ones(1, 1)), latents[:1], rtol=1e-4, atol=1e-4)
    one = LowRankStatistics.of(latents[:1], 4)
    assert one.rank == 1 and torch.isfinite(one.whiten(latents)).all()
    assert found_to(one)


def found_to(statistics: LowRankStatistics) -> bool:
    moved = statistics.to("cpu")
    return torch.equal(moved.mean, statistics.mean) and torch.equal(moved.basis, statistics.basis)
