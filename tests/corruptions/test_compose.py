"""Compose: from left to right, flat, and one part composed is that part."""

from __future__ import annotations

import pickle
from typing import TYPE_CHECKING, Any

import pytest
import torch

from napari_brgm.corruptions import Blur, Compose, Downsample, Grayscale, Identity, Jpeg, Mask, Mixture, Motion
from napari_brgm.errors import InputError

if TYPE_CHECKING:
    from torch import Tensor

X = torch.ones(1, 1, 4, 4)


class Squared:
    """A part that is not linear."""

    linear = False

    def A(self, x: Tensor) -> Tensor:
        return x**2

    __call__ = A

    def observed_shape(self, shape_hw: tuple[int, int]) -> tuple[int, int]:
        return shape_hw

    image_shape = observed_shape

    def describe(self) -> dict[str, Any]:
        return {"name": "Squared"}


def test_it_goes_from_left_to_right(some_mask, normal) -> None:
    mask = some_mask((6, 6))
    x = normal((1, 1, 24, 24))
    torch.testing.assert_close(Compose(Downsample(4), mask)(x), mask(Downsample(4)(x)))
    assert Compose(Downsample(4), mask).image_shape((6, 6)) == (24, 24)


@pytest.mark.parametrize("f", [Mask([[True, False]]), Downsample(2), Identity(), Jpeg(10), Grayscale()], ids=repr)
def test_one_part_is_that_part(f) -> None:
    """Else it would lose what only that part knows: measured pixels, exact factors, its noise."""
    assert Compose(f) is f and Compose(Compose(f)) is f


def test_it_is_associative(some_mask, normal) -> None:
    f, g, h, k = Blur(1.5), Motion(3, 20), Downsample((2, 3)), some_mask((6, 4))
    flat = Compose(f, g, h, k)
    x, y = normal((2, 1, 12, 12)), normal((2, 1, 6, 4), seed=1)
    for nested in (Compose(Compose(f, g), Compose(h, k)), Compose(f, Compose(g, Compose(h, k)))):
        assert nested.parts == (f, g, h, k) and nested.describe() == flat.describe()
        assert torch.equal(nested(x), flat(x)) and torch.equal(nested.A_adjoint(y), flat.A_adjoint(y))
        assert nested.coarsens((6, 4)) == flat.coarsens((6, 4)) == (2.0, 3.0)
        assert torch.equal(nested.hidden((6, 4)), flat.hidden((6, 4)))


def test_masks_hide_together_and_keep_what_both_keep(some_mask) -> None:
    a, b = some_mask((9, 8)), some_mask((9, 8), seed=1)
    both = Compose(a, b)
    assert torch.equal(both.hidden((9, 8)), a.missing | b.missing)
    assert torch.equal(both.kept((9, 8)), a.observed & b.observed)
    assert both.exact


def test_what_does_nothing_changes_nothing(some_mask) -> None:
    """Catches a mask that keeps no pixel because nothing happened before or after it."""
    mask = some_mask((9, 8))
    for f in (Compose(Identity(), mask), Compose(mask, Identity())):
        assert f is mask
    assert Compose(Identity(), Identity()) == Identity() and not Compose(Identity(), Identity()).exact
    assert Compose(Blur(1), Identity(), Jpeg(10)).parts == (Blur(1), Jpeg(10))  # whose A is the identity too


@pytest.mark.parametrize("other", [Blur(2), Jpeg(10)], ids=repr)
def test_pixels_that_were_changed_are_not_kept(some_mask, other) -> None:
    mask = some_mask((9, 8))
    for f in (Compose(mask, other), Compose(other, mask)):
        assert f.kept((9, 8)) is None
    assert torch.equal(Compose(other, mask).hidden((9, 8)), mask.missing)
    assert Compose(Downsample(2), some_mask((9, 8))).kept((18, 16)) is None


def test_a_pixel_is_hidden_where_nothing_arrives(normal) -> None:
    """What was masked and then blurred or coarsened holds something near the rim of the hole, and nothing inside."""
    missing = torch.zeros(16, 16, dtype=torch.bool)
    missing[1:14, 2:15] = True
    mask = Mask(missing)
    for f, size in (
        (Compose(mask, Blur(1.5)), (16, 16)), (Compose(mask, Motion(3, 0)), (16, 16)),
        (Compose(mask, Downsample(2)), (8, 8)), (Compose(mask, Downsample(2, "bicubic")), (8, 8)),
    ):  # fmt: skip
        hidden = f.hidden(size)
        y = f(normal((1, 1, 16, 16)).abs() + 1)[0, 0]
        assert 0 < int(hidden.sum()) < int(missing.sum()) and float(y[hidden].abs().max()) < 0.01
        assert float(y[~hidden].abs().min()) > 1e-4
    assert torch.equal(Compose(mask, Jpeg(10)).hidden((16, 16)), missing)
    assert torch.equal(Compose(mask, Grayscale()).hidden((16, 16)), missing)
    assert torch.equal(Compose(mask, Mixture([[1, -1], [0, 1]])).hidden((16, 16)), missing)
    stack = Mask(torch.stack([missing, ~missing]))
    assert torch.equal(Compose(stack, Mixture([[0, 3]])).hidden((16, 16)), ~missing[None])
    assert Compose(stack, Mixture([[0.5, 0.5]])).hidden((16, 16)) is None


def test_compositions_are_equal_by_their_parts(some_mask) -> None:
    """And so are mixtures: catches a cache that knows none of them again."""
    f, again = (Compose(Blur(1.5), some_mask((9, 8)), Mixture([[0.5, 0.5]])) for _ in range(2))
    assert f == again and hash(f) == hash(again) and len({f, again}) == 1
    others = (Compose(some_mask((9, 8)), Blur(1.5)), Blur(1.5), Compose(Blur(1.5), some_mask((9, 8), seed=1)))
    assert all(f != other and other != f for other in others)


def test_a_mask_of_the_finer_grid_darkens_means(some_mask) -> None:
    """It hides those of which it leaves nothing; one of the observation's grid hides, and one of neither is refused."""
    fine, coarse = some_mask((8, 8)), some_mask((4, 4))
    gone = fine.missing.reshape(4, 2, 4, 2).all(dim=3).all(dim=1)
    assert torch.equal(Compose(fine, Downsample(2), coarse).hidden((4, 4)), coarse.missing | gone)
    assert Compose(Mask(torch.eye(8)), Downsample(2)).hidden((4, 4)) is None
    with pytest.raises(InputError, match="paint the mask on the same slice"):
        Compose(Blur(1), coarse).hidden((8, 8))


def test_what_its_parts_add_up_to() -> None:
    assert Compose(Downsample(2.5), Downsample((2, 1))).coarsens((4, 4)) == (5.0, 2.5)
    assert Compose(Blur(1), Jpeg(10)).adds_noise and not Compose(Blur(1), Downsample(2)).adds_noise
    assert not Compose(Blur(1), Downsample(2)).averages and not Compose(Blur(1), Downsample(2)).well_posed((2, 2))


def test_a_part_that_is_not_linear_still_runs_forward() -> None:
    f = Compose(Mask(torch.eye(4)), Squared(), Identity())
    assert not f.linear
    assert f(3 * X).unique().tolist() == [0, 9]
    for wanted in (f.A_dagger, f.A_adjoint):
        with pytest.raises(InputError, match="not linear"):
            wanted(X)


def test_what_cannot_be_composed() -> None:
    with pytest.raises(InputError, match="at least one"):
        Compose()
    with pytest.raises(InputError, match="is not a corruption"):
        Compose(lambda x: x)


def test_it_goes_to_other_processes() -> None:
    f = Compose(Blur(1.5), Downsample(2))
    assert pickle.loads(pickle.dumps(f)).parts == f.parts
