"""FLOP counted from shapes, against what is documented of the published networks."""

from __future__ import annotations

import pytest
import torch

from napari_brgm.evaluation.flops import counted, network, step_flops, synthesis_flops, widths

DOCUMENTED = {  # forward GFLOP, gray, batch 1
    "e": {128: 22.6, 256: 30.0, 512: 37.6, 1024: 45.4},
    "f": {128: 61.0, 256: 91.0, 512: 120.0, 1024: 150.0},
}


@pytest.mark.parametrize(("config", "resolution"), [("e", 128), ("e", 1024), ("f", 128), ("f", 1024)])
def test_forward_is_as_documented(config, resolution):
    """Catches a transposed convolution counted by its output (four times too much), and wrong channels."""
    assert synthesis_flops(resolution, config) / 1e9 == pytest.approx(DOCUMENTED[config][resolution], rel=0.01)


def test_backward_and_batch():
    one = synthesis_flops(64, "e")
    assert synthesis_flops(64, "e", 8) == pytest.approx(8 * one, rel=1e-3)
    assert synthesis_flops(64, "e", backward=True) == pytest.approx(2 * one, rel=0.01)  # weights are frozen


def test_channels_of_the_published_nets():
    assert widths(1024, "e") == {
        4: 512, 8: 512, 16: 512, 32: 512, 64: 256, 128: 128, 256: 64, 512: 32, 1024: 16,
    }  # fmt: skip
    assert widths(256, "f")[256] == 128
    parameters = sum(p.numel() for p in network(256, "e", "meta").parameters())
    assert parameters / 1e6 == pytest.approx(24.76, abs=0.01)


def test_a_convolution_and_a_product_by_hand():
    x, kernel = torch.zeros(2, 3, 8, 8), torch.zeros(5, 3, 3, 3)
    assert counted(lambda: torch.nn.functional.conv2d(x, kernel, padding=1)) == 2 * 2 * 5 * 3 * 9 * 64
    assert counted(lambda: torch.zeros(4, 6) @ torch.zeros(6, 7)) == 2 * 4 * 6 * 7


def test_any_prior_can_be_counted(linear_prior):
    forward, gradient = step_flops(linear_prior, 2)
    assert forward == 2 * 2 * 12 * 24 * 24
    assert gradient == 2 * forward
