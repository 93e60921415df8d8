"""The pooling passes are the published filter."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F

from napari_brgm.priors import stylegan2_layers
from napari_brgm.training.resample import halve, smooth, upsample

X = torch.randn(2, 3, 8, 8, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
FIR = torch.outer(torch.tensor([1.0, 3, 3, 1]), torch.tensor([1.0, 3, 3, 1])).double() / 64


def filtered(x: torch.Tensor, pad: int, stride: int = 1) -> torch.Tensor:
    return F.conv2d(x, FIR.expand(x.shape[1], 1, 4, 4), padding=pad, stride=stride, groups=x.shape[1])


@pytest.mark.parametrize("pad", [1, 2])
def test_smooth_is_the_filter(pad):
    """Catches a wrong offset, gain or border."""
    torch.testing.assert_close(smooth(X, pad), filtered(X, pad))


def test_halve_and_upsample():
    torch.testing.assert_close(halve(X), filtered(X, 1, stride=2))
    torch.testing.assert_close(upsample(X), stylegan2_layers.upsample(X))


def test_second_derivatives():
    x = torch.randn(1, 1, 4, 4, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradgradcheck(lambda v: smooth(upsample(halve(v)).square(), 2), x)
