"""Our convolution has PyTorch's values and derivatives, and stays with small kernels in the second ones."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from torch.profiler import ProfilerActivity, profile

from napari_brgm.training.convolution import convolve, convolve_up

CASES = {
    "plain": (lambda x, w: convolve(x, w, padding=1), lambda x, w: F.conv2d(x, w, padding=1), 3, 6),
    "stride 2": (lambda x, w: convolve(x, w, stride=2), lambda x, w: F.conv2d(x, w, stride=2), 3, 7),
    "stride 2, a row left over": (lambda x, w: convolve(x, w, stride=2), lambda x, w: F.conv2d(x, w, stride=2), 3, 6),
    "1 x 1": (convolve, F.conv2d, 1, 5),
    "up": (convolve_up, lambda x, w: F.conv_transpose2d(x, w.transpose(0, 1), stride=2), 3, 4),
}


def _penalised(function, x: torch.Tensor, w: torch.Tensor) -> list[torch.Tensor]:
    """Image, gradients of a curved function of it, and gradients of their squares: all orders that training needs."""
    y = function(x, w)
    by_x, by_w = torch.autograd.grad(y.sin().sum(), (x, w), create_graph=True)
    twice = torch.autograd.grad(by_x.square().sum() + by_w.square().sum(), (x, w))
    return [y, by_x, by_w, *twice]


@pytest.mark.parametrize("case", list(CASES))
@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
def test_values_and_derivatives_are_those_of_torch(case, layout):
    ours, theirs, side, size = CASES[case]
    random = torch.Generator().manual_seed(0)
    x = torch.randn(3, 4, size, size, dtype=torch.float64, generator=random).to(memory_format=layout).requires_grad_()
    w = torch.randn(5, 4, side, side, dtype=torch.float64, generator=random).to(memory_format=layout).requires_grad_()
    for a, b in zip(_penalised(ours, x, w), _penalised(theirs, x, w), strict=True):
        torch.testing.assert_close(a, b)


@pytest.mark.parametrize("case", list(CASES))
def test_second_derivatives_use_small_kernels(case):
    """Catches a fall back to the second derivative of torch, whose kernels are as large as the images."""
    ours, _, side, size = CASES[case]
    x = torch.randn(2, 4, size, size, requires_grad=True)
    w = torch.randn(4, 4, side, side, requires_grad=True)
    with profile(activities=[ProfilerActivity.CPU], record_shapes=True) as recorded:
        _penalised(ours, x, w)
    names = [event.name for event in recorded.events()]
    assert "aten::_convolution_double_backward" not in names
    kernels = [event.input_shapes[1] for event in recorded.events() if event.name == "aten::convolution"]
    assert kernels and all(shape[-1] == side for shape in kernels)


def test_frozen_weights_cost_nothing():
    """Where the discriminator is frozen, no gradient of its weights is computed."""
    x = torch.randn(2, 4, 6, 6, requires_grad=True)
    w = torch.randn(4, 4, 3, 3)
    with profile(activities=[ProfilerActivity.CPU]) as recorded:
        convolve(x, w, padding=1).sum().backward()
    assert "aten::convolution_backward" not in [event.name for event in recorded.events()]
