"""Mask: what it hides and keeps, one for each slice of a stack, and at random as many pixels as asked for."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from napari_brgm.corruptions import Mask
from napari_brgm.errors import InputError


def test_masked_pixels_hide_even_nan() -> None:
    x = torch.tensor([[float("nan"), 2.0]])[None, None]
    mask = Mask(torch.tensor([[1, 0]]))
    assert mask(x).tolist() == [[[[0.0, 2.0]]]]
    assert mask.observed.tolist() == [[False, True]]


def test_it_says_what_it_hides_and_keeps(some_mask) -> None:
    mask = some_mask((5, 7))
    assert torch.equal(mask.hidden((5, 7)), mask.missing) and torch.equal(mask.kept((5, 7)), ~mask.missing)
    for question in (mask.hidden, mask.kept):
        with pytest.raises(InputError, match="the mask has 5 x 7 pixels"):
            question((7, 5))


def test_the_masks_of_a_stack_are_each_slice_s_own(some_mask, normal) -> None:
    """The slices are channels: catches a mask that is shared, and slices that are mixed up."""
    stack, x = some_mask((3, 5, 7)), normal((2, 3, 5, 7))
    found = stack(x)
    for k in range(3):
        own = Mask(stack.missing[k])
        assert torch.equal(found[:, k : k + 1], own(x[:, k : k + 1]))
        assert torch.equal(stack.A_dagger(x, noise_to_signal=0.5)[:, k], own.A_dagger(x, noise_to_signal=0.5)[:, k])
    assert torch.equal(stack.hidden((5, 7)), stack.missing) and stack.observed_shape((5, 7)) == (5, 7)
    assert repr(stack) == f"Mask(3 x 5 x 7 pixels, {int(stack.missing.sum())} missing)"
    assert stack.describe()["shape"] == [3, 5, 7]


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
