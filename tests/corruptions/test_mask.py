"""Mask.random: as many pixels as asked for, by a seed."""

from __future__ import annotations

import numpy as np
import pytest

from napari_brgm.corruptions import Mask
from napari_brgm.errors import InputError


@pytest.mark.parametrize(("shape", "share"), [((24, 24), 0.95), ((7, 13), 0.5), ((128, 96), 0.001), ((9, 9), 0.99)])
def test_the_count_is_exact_and_the_seed_decides(shape, share):
    one, same, other = (Mask.random(shape, share, seed).missing.numpy() for seed in (1, 1, 2))
    assert one.shape == shape and one.sum() == other.sum() == round(share * shape[0] * shape[1])
    assert (one == same).all() and (one != other).any()


def test_all_parts_are_hit_alike():
    """Catches pixels in a block or in rows."""
    hidden = Mask.random((200, 200), 0.5).missing.numpy()
    for axis in (0, 1):
        assert np.abs(hidden.mean(axis=axis) - 0.5).max() < 0.16  # 4.5 standard deviations


@pytest.mark.parametrize("share", [0, 1, -0.1, 1.2, float("nan"), 0.0001, 0.9999])
def test_shares_that_leave_nothing_to_do(share):
    with pytest.raises(InputError, match=r"between 0 and 1|no pixel|every pixel"):
        Mask.random((8, 8), share)


def test_a_negative_seed():
    with pytest.raises(InputError, match="seed"):
        Mask.random((8, 8), 0.5, -1)
