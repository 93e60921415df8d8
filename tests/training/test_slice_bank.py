"""Slices on the device: grey levels, mirror images, and what cannot be trained on."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest
import torch

from napari_brgm.errors import InputError
from napari_brgm.training.slice_bank import SliceBank

CPU = torch.device("cpu")


def slices(images: np.ndarray, white: int = 255) -> SimpleNamespace:
    return SimpleNamespace(images=images, white=white)


@pytest.mark.parametrize(("dtype", "white"), [(np.uint8, 255), (np.uint16, 65535)])
def test_black_is_minus_one_and_white_is_one(dtype, white):
    """Catches 16-bit levels read as signed."""
    images = np.zeros((4, 1, 8, 8), dtype)
    images[1], images[2], images[3] = white, white // 2 + 1, 3
    found = SliceBank(slices(images, white), CPU).take(torch.arange(4))[:, 0, 0, 0]
    assert found.tolist() == pytest.approx([-1, 1, (white // 2 + 1) / white * 2 - 1, 6 / white - 1], abs=1e-6)


def test_half_of_the_slices_are_mirrored_where_allowed():
    images = np.zeros((1, 1, 8, 8), np.uint8)
    images[..., :4] = 255
    random = torch.Generator().manual_seed(0)
    left = SliceBank(slices(images), CPU, mirror=True).draw(400, random)[:, 0, 0, 0] > 0
    assert 160 < int(left.sum()) < 240
    assert (SliceBank(slices(images), CPU).draw(50, random)[:, 0, 0, 0] > 0).all()


@pytest.mark.parametrize(
    ("images", "words"),
    [
        (np.zeros((3, 1, 24, 24), np.uint8), "power of two"),
        (np.zeros((3, 1, 4, 4), np.uint8), "power of two"),
        (np.zeros((3, 1, 16, 32), np.uint8), "square"),
        (np.zeros((3, 2, 16, 16), np.uint8), "1 or 3"),
        (np.zeros((3, 1, 16, 16), np.float32), "integers"),
        (np.full((3, 1, 16, 16), 7, np.uint8), "one grey level"),
        (np.zeros((0, 1, 16, 16), np.uint8), "empty"),
    ],
)
def test_what_cannot_be_trained_on_gets_a_sentence(images, words):
    with pytest.raises(InputError, match=words):
        SliceBank(slices(images), CPU)
