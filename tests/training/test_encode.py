"""The encoder learns to see the leading latents through degraded slices."""

from __future__ import annotations

import torch

from napari_brgm.training.encode import train_encoder


def test_it_learns_and_a_seed_repeats_it(linear_prior):
    """Mean square error of whitened latents below 0.9 (1 is the mean): catches images and latents out of step."""
    latents = torch.randn(200, 3, generator=torch.Generator().manual_seed(0))
    w = torch.zeros(200, 1, 12)
    w[:, 0, :3] = latents
    images = ((linear_prior.synthesize(w) + 1) * 127.5).round().clamp(0, 255).to(torch.uint8)
    losses = []
    arguments = {"widths": (6, 8, 12), "steps": 200, "batch": 16}
    net = train_encoder(images, latents, **arguments, report=lambda step, value: losses.append((step, value)))
    assert [step for step, _ in losses] == [100, 200]
    assert losses[-1][1] < 0.9
    clean = net.encode(images.float() / 127.5 - 1)
    assert (clean - latents).square().mean() < 0.7
    assert not net.training and not any(p.requires_grad for p in net.parameters())
    short = [train_encoder(images, latents, widths=(4, 4), steps=3, seed=s) for s in (1, 1, 2)]
    first = [next(net.parameters()) for net in short]
    assert torch.equal(first[0], first[1]) and not torch.equal(first[0], first[2])


def test_it_stops_in_time(linear_prior):
    images = torch.zeros(20, 1, 24, 24, dtype=torch.uint8)
    called = []
    train_encoder(
        images, torch.zeros(20, 2), widths=(4, 4), steps=10**6, seconds=0.0, report=lambda *a: called.append(a)
    )
    assert not called
