"""Pooled: the energy of a pose, against dense least squares."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from napari_brgm.corruptions import Frame
from napari_brgm.corruptions.resample import Sampling
from napari_brgm.engine.pooled import Intensity, pooled


def test_the_energy_is_the_least_one(linear_prior, disc_scan):
    """Against dense least squares with images mapped by ``Frame``: catches a wrong geometry of the blocks."""
    grey, seen = disc_scan
    guess = Frame((48, 48), 24, (0.5, 0.5), (23.5, 23.5), (11.5, 11.5))
    problem = pooled(guess, linear_prior, grey, seen, 3.0, 64, Intensity(0.2, 10.0))
    poses = torch.tensor([[0.0, 0.0, 0.0, 0.0], [0.9, -0.5, 0.1, 0.14], [-1.0, 2.0, -0.1, -0.2]])
    found = problem.energy(poses)
    for pose, value in zip(poses.tolist(), found.tolist(), strict=True):
        frame = Frame(
            (24, 24), 24, (np.exp(pose[2]),) * 2, (11.5, 11.5), (11.5 + pose[0], 11.5 + pose[1]), np.degrees(pose[3])
        )
        images = torch.cat([linear_prior.mean[None] + 1, linear_prior.basis]) * 127.5
        points = Sampling.of((24, 24), (24, 24), (1.0, 1.0), frame.into_frame)  # middles of blocks
        seen_images = points.A(images)[:, 0]
        blocks = torch.nn.functional.avg_pool2d(grey, 2)
        mean, basis = seen_images[0].flatten() * 2 / 3, seen_images[1:].flatten(1) * 2 / 3
        a = torch.cat([basis, 0.2 * mean[None], torch.full_like(mean, 10.0 * 2 / 3)[None]]).double()
        y = (blocks.flatten() * 2 / 3 - mean).double()
        u = torch.linalg.solve(a @ a.T + torch.eye(len(a)), a @ y)
        least = (y - u @ a).square().sum() + u.square().sum()
        prior = np.square(np.array(pose) / (40, 40, 0.15, 0.2)).sum()
        assert value == pytest.approx(float(least) + prior, rel=2e-3)
