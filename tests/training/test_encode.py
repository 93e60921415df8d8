"""The encoder learns to see the leading latents through degraded slices."""

from __future__ import annotations

import torch

from napari_brgm.training.encode import train_encoder


def test_it_learns_and_repeats_itself(linear_prior):
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
    short = [train_encoder(images, latents, widths=(4, 4), steps=3) for _ in range(2)]
    first = [next(net.parameters()) for net in short]
    assert torch.equal(first[0], first[1])
