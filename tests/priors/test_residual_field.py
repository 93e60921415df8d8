"""The residual field is a Gaussian field: its products, its draws and its fit agree."""

from __future__ import annotations

import pytest
import torch

from napari_brgm.priors.residual_field import ResidualField


@pytest.fixture
def field() -> ResidualField:
    """16 px: std 5..15 grey levels, correlation over 1.5 pixels."""
    lag = torch.fft.fftfreq(16) * 16
    correlation = torch.exp(-(lag[:, None].square() + lag[None].square()) / (2 * 1.5**2))
    std = 5 + 10 * torch.rand(16, 16, generator=torch.Generator().manual_seed(0))
    return ResidualField(std, correlation)


def dense(field: ResidualField) -> torch.Tensor:
    """(256, 256) covariance, column by column."""
    return field.covariance(torch.eye(256).reshape(256, 1, 16, 16)).flatten(1)


def test_covariance_is_symmetric_positive_and_has_the_variances(field):
    c = dense(field)
    torch.testing.assert_close(c, c.T, atol=1e-3, rtol=0)
    assert torch.linalg.eigvalsh(c.double()).min() > 0
    torch.testing.assert_close(c.diagonal().sqrt(), field.std.flatten(), rtol=1e-3, atol=0)
    a, b = (3, 4), (4, 4)  # neighbours in a column
    wanted = field.std[a] * field.std[b] * field.correlation[1, 0]
    assert c[a[0] * 16 + a[1], b[0] * 16 + b[1]] == pytest.approx(float(wanted), rel=1e-2)


def test_draws_have_the_covariance(field):
    """Catches draws coloured by the spectrum instead of its square root."""
    draws = field.sample(20_000, torch.Generator().manual_seed(1)).flatten(1)
    c = dense(field)
    assert (torch.cov(draws.T) - c).norm() < 0.05 * c.norm()
    again = field.sample(2, torch.Generator().manual_seed(1))
    assert torch.equal(again.flatten(1)[0], field.sample(2, torch.Generator().manual_seed(1)).flatten(1)[0])


def test_fit_recovers_std_and_correlation():
    """Catches a variance given as a standard deviation, and a correlation not normalised by the anatomy's window."""
    size = 48
    lag = torch.fft.fftfreq(size) * size
    correlation = torch.exp(-(lag[:, None].square() + lag[None].square()) / (2 * 1.5**2))
    axis = torch.linspace(-1, 1, size)
    std = 14 * torch.sigmoid(12 * (0.55 - (axis[:, None].square() + axis[None].square()).sqrt()))
    truth = ResidualField(std, correlation)
    found = ResidualField.fit(truth.sample(300, torch.Generator().manual_seed(2)), reach=1e3)
    torch.testing.assert_close(found.std[20:28, 20:28], std[20:28, 20:28], rtol=0.1, atol=0)
    assert float(found.std[:3].max()) == pytest.approx(1.5)  # the floor: no pixel is quite certain
    assert found.correlation[0, 0] == pytest.approx(1)
    torch.testing.assert_close(found.correlation[:3, :3], correlation[:3, :3], atol=0.05, rtol=0)
