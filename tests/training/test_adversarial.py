"""Losses and penalties against analytic values, Adam against torch's, averages against the formula."""

from __future__ import annotations

import copy
import math

import pytest
import torch
from torch import nn

from napari_brgm.training.adversarial import (
    MomentlessAdam,
    PathLength,
    average_weights,
    discriminator_loss,
    generator_loss,
    gradient_norm,
    r1,
)


def test_losses_are_logistic():
    """At undecided logits L_D = 2 ln 2; the generator's gradient does not vanish where the discriminator is sure."""
    zero = torch.zeros(4)
    assert float(discriminator_loss(zero, zero)) == pytest.approx(2 * math.log(2))
    assert float(discriminator_loss(zero + 9, zero - 9)) < 1e-3
    sure = torch.tensor([-8.0], requires_grad=True)
    (gradient,) = torch.autograd.grad(generator_loss(sure), sure)
    assert float(gradient) == pytest.approx(-1, abs=1e-3)


def test_r1_of_a_quadratic():
    """D(x) = a |x|^2 / 2 has |grad|^2 = a^2 |x|^2 and d/da 2 a |x|^2; catches a mean for a sum, or a lost graph."""
    x = torch.randn(3, 1, 4, 4, dtype=torch.float64, requires_grad=True)
    a = torch.tensor(1.7, dtype=torch.float64, requires_grad=True)
    penalty = r1(a * x.square().sum(dim=(1, 2, 3)) / 2, x)
    power = x.detach().square().sum(dim=(1, 2, 3))
    torch.testing.assert_close(penalty, (1.7**2) * power)
    (slope,) = torch.autograd.grad(penalty.sum(), a)
    torch.testing.assert_close(slope, 2 * 1.7 * power.sum())


def test_path_lengths_of_a_linear_generator():
    """For images = A w, |J^T y| = |A^T y|, whose mean square is |A|^2 / pixels; catches a wrong scale of y."""
    random = torch.Generator().manual_seed(0)
    matrix = torch.randn(64, 5, generator=random, requires_grad=True)
    ws = torch.randn(4000, 1, 5, generator=random).requires_grad_(True)
    images = (ws[:, 0] @ matrix.T).reshape(-1, 1, 8, 8)
    path = PathLength(0.01, torch.device("cpu"))
    lengths = path.lengths(images, ws, random)
    expected = float(matrix.detach().square().sum()) / 64
    assert float(lengths.detach().square().mean()) == pytest.approx(expected, rel=0.05)
    path.mean.fill_(2.0)
    penalty = path.penalty(lengths)
    mean = 0.99 * 2 + 0.01 * float(lengths.detach().mean())
    assert float(path.mean) == pytest.approx(mean, rel=1e-5)
    assert float(penalty.detach()) == pytest.approx(float((lengths.detach() - mean).square().mean()), rel=1e-4)
    (gradient,) = torch.autograd.grad(penalty, matrix)
    assert float((gradient * matrix).detach().sum()) != 0  # the penalty reaches the generator's weights


def test_path_lengths_of_layers_are_averaged():
    """Two layers that contribute alike have the length of one of them."""
    ws = torch.ones(2, 2, 3, requires_grad=True)
    images = ws.sum(dim=1).reshape(2, 1, 1, 3)
    path = PathLength(0.01, torch.device("cpu"))
    both = path.lengths(images, ws, torch.Generator().manual_seed(0))
    one = torch.ones(2, 1, 3, requires_grad=True)
    single = path.lengths(one.sum(dim=1).reshape(2, 1, 1, 3), one, torch.Generator().manual_seed(0))
    torch.testing.assert_close(both, single)


def test_adam_takes_gradients_of_any_layout():
    """A gradient that lies in memory otherwise than its weight counts the same."""
    torch.manual_seed(0)
    plain = nn.Conv2d(3, 4, 3)
    turned = copy.deepcopy(plain).to(memory_format=torch.channels_last)
    for net in (plain, turned):
        adam = MomentlessAdam(net, 0.1, 0.9)
        for _ in range(3):
            for p in net.parameters():
                p.grad = torch.linspace(-1, 1, p.numel()).reshape(p.shape)
            adam.step()
    assert turned.weight.stride() != plain.weight.stride()
    torch.testing.assert_close(turned.weight, plain.weight)


@pytest.mark.parametrize("every", [0, 4])
def test_adam_is_torchs_without_momentum(every):
    """Catches a bias correction, an epsilon in the wrong place, or lazy constants the wrong way round."""
    torch.manual_seed(0)
    ours = nn.Sequential(nn.Linear(4, 8), nn.Tanh(), nn.Linear(8, 1))
    theirs = copy.deepcopy(ours)
    share = every / (every + 1) if every else 1.0
    adam = MomentlessAdam(ours, 0.01, 0.99, every)
    reference = torch.optim.Adam(theirs.parameters(), lr=0.01 * share, betas=(0.0, 0.99**share))
    for _ in range(20):
        x = torch.randn(16, 4)
        for net in (ours, theirs):
            (net(x) - x.sum(dim=1, keepdim=True)).square().mean().backward()
        assert float(gradient_norm(ours.parameters())) == pytest.approx(
            math.sqrt(sum(float(p.grad.square().sum()) for p in ours.parameters())), rel=1e-5
        )
        adam.step()
        reference.step()
        reference.zero_grad()
        assert all(p.grad is None for p in ours.parameters())
    for a, b in zip(ours.parameters(), theirs.parameters(), strict=True):
        torch.testing.assert_close(a, b, rtol=1e-4, atol=1e-6)


def test_adam_leaves_parameters_without_gradient():
    net = nn.ModuleList([nn.Linear(2, 1), nn.Linear(2, 1)])
    still = net[1].weight.detach().clone()
    adam = MomentlessAdam(net, 0.1, 0.99)
    net[0](torch.ones(1, 2)).sum().backward()
    adam.step()
    assert torch.equal(net[1].weight, still)


def test_the_average_has_its_half_life():
    """After one half-life of images the old weights count half; early on they are forgotten faster."""
    old, new = nn.Linear(2, 2, bias=False), nn.Linear(2, 2, bias=False)
    nn.init.zeros_(old.weight)
    nn.init.ones_(new.weight)
    for _ in range(10):
        average_weights(old, new, 100, shown=10**6, half_life=1000.0)
    torch.testing.assert_close(old.weight, torch.full((2, 2), 0.5))
    nn.init.zeros_(old.weight)
    average_weights(old, new, 100, shown=2000, half_life=1000.0)  # 0.05 * 2000 = one half-life
    torch.testing.assert_close(old.weight, torch.full((2, 2), 0.5))
