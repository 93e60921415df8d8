"""Posed copies move slices by what they were told, and no further."""

from __future__ import annotations

import torch

from napari_brgm.training.poses import Poses, posed_copies


def _spot(size: int = 64) -> torch.Tensor:
    axis = torch.arange(size) - (size - 1) / 2
    return (200 * torch.exp(-(axis[:, None] ** 2 + axis[None] ** 2) / 50)).to(torch.uint8)[None, None]


def test_copies_follow_the_order_and_a_seed_repeats_them():
    images = torch.cat([_spot(), torch.full((1, 1, 64, 64), 90, dtype=torch.uint8)])
    found = posed_copies(images, Poses(3, 0.05, 0.05, 5.0), seed=1)
    assert found.shape == (6, 1, 64, 64) and found.dtype == torch.uint8
    assert (found[1::2] == 90).all()  # an even slice stays even, to the border
    assert torch.equal(found, posed_copies(images, Poses(3, 0.05, 0.05, 5.0), seed=1))
    assert not torch.equal(found[0], found[2])
    assert len(posed_copies(images, Poses(0))) == 0


def test_shifts_are_bounded():
    """Centre of mass of a spot: up to 5 % of 64 pixels away, and not always near zero (shares mistaken for pixels)."""
    found = posed_copies(_spot().repeat(200, 1, 1, 1), Poses(1, 0.05, 0.0, 0.0)).float()[:, 0]
    axis = torch.arange(64) - 31.5
    mass = found.sum(dim=(1, 2))
    rows, columns = (found.sum(dim=2) @ axis) / mass, (found.sum(dim=1) @ axis) / mass
    for offset in (rows, columns):
        assert offset.abs().max() < 3.4 and offset.abs().max() > 2.8 and abs(offset.mean()) < 0.5


def test_no_movement_gives_the_slices_back():
    found = posed_copies(_spot(), Poses(1, 0.0, 0.0, 0.0))
    assert torch.equal(found, _spot())
