"""Whether chains agree: what independent draws they are worth, and every way in which they can differ."""

from __future__ import annotations

import pytest
import torch

from napari_brgm.evaluation.convergence import effective_size, split_rhat


def test_effective_size_of_an_autoregression():
    """x_t = a x_(t-1) + noise is worth N (1 - a) / (1 + a) draws; white noise N."""
    generator = torch.Generator().manual_seed(0)
    for a in (0.0, 0.8):
        white = torch.randn(4, 8_000, generator=generator, dtype=torch.float64)
        chain = torch.zeros_like(white)
        for t in range(1, white.shape[1]):
            chain[:, t] = a * chain[:, t - 1] + (1 - a * a) ** 0.5 * white[:, t]
        assert effective_size(chain).item() == pytest.approx(32_000 * (1 - a) / (1 + a), rel=0.12)
        assert split_rhat(chain).item() == pytest.approx(1, abs=0.01)


def test_rhat_sees_drift_shift_and_unequal_spread():
    generator = torch.Generator().manual_seed(0)
    white = torch.randn(4, 500, generator=generator)
    assert split_rhat(white, ranked=True) < 1.01
    assert split_rhat(white + torch.linspace(0, 3, 500)) > 1.2  # halves of each chain differ, chains do not
    assert split_rhat(white + torch.arange(4.0)[:, None]) > 1.2
    unequal = white * torch.tensor([1.0, 1.0, 1.0, 4.0])[:, None]
    assert split_rhat(unequal) < 1.02 and split_rhat(unequal, ranked=True) > 1.05
