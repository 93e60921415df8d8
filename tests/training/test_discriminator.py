"""The discriminator: its statistics, its minibatch deviation, and derivatives of its gradient."""

from __future__ import annotations

import pytest
import torch

from napari_brgm.training.discriminator import Discriminator, minibatch_deviation

WIDTHS = {4: 16, 8: 12, 16: 8}


@pytest.fixture(scope="module")
def net() -> Discriminator:
    torch.manual_seed(0)
    return Discriminator(WIDTHS)


def test_minibatch_deviation_by_hand():
    """Catches groups across the halves of a batch, a deviation over the wrong axis, or a missing root."""
    x = torch.randn(8, 3, 2, 2, dtype=torch.float64)
    found = minibatch_deviation(x, 4)
    assert found.shape == (8, 4, 2, 2)
    assert torch.equal(found[:, :3], x)
    for begin in (0, 4):
        wanted = x[begin : begin + 4].std(dim=0, correction=0).mean()
        torch.testing.assert_close(found[begin : begin + 4, 3], wanted.expand(4, 2, 2))
    with pytest.raises(ValueError, match="groups"):
        minibatch_deviation(x, 3)


def test_the_two_halves_of_a_batch_do_not_see_each_other(net):
    """Real and generated images share one pass: catches groups that mix them."""
    x = torch.randn(8, 1, 16, 16)
    with torch.no_grad():
        together, apart = net(x), torch.cat([net(x[:4]), net(x[4:])])
    torch.testing.assert_close(together, apart)


def test_activations_keep_their_size():
    """Equalised layers: logits of white noise are of order 1 whatever the widths; catches a lost gain."""
    for widths in ({4: 8, 8: 8, 16: 8}, {4: 64, 8: 64, 16: 32}):
        torch.manual_seed(1)
        with torch.no_grad():
            logits = torch.stack([Discriminator(widths)(torch.randn(8, 1, 16, 16)).square().mean() for _ in range(8)])
        assert 0.2 < float(logits.mean().sqrt()) < 5


def test_bfloat16_is_nearly_the_same(net):
    x = torch.randn(8, 1, 16, 16)
    with torch.no_grad():
        full, half = net(x), net(x, half_from=8)
    assert half.dtype == torch.float32
    assert 0 < float((full - half).abs().max()) < 0.1
    x.requires_grad_(True)  # the path of R1
    (g,) = torch.autograd.grad(net(x, half_from=8).sum(), x, create_graph=True)
    g.square().sum().backward()
    assert net.from_rgb.weight.grad.isfinite().all()
    net.zero_grad()


def test_second_derivatives():
    """R1 differentiates the gradient again; against finite differences."""
    torch.manual_seed(0)
    net = Discriminator({4: 3, 8: 2}, group=2).double()
    forward = net.forward
    x = torch.randn(2, 1, 8, 8, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradgradcheck(lambda v: forward(v), x, atol=1e-4)
