"""Operators of others: three methods are enough, and what more they say is heard."""

from __future__ import annotations

import pytest
import torch

from napari_brgm.corruptions import Blur, Compose, Downsample, Identity, as_corruption
from napari_brgm.errors import InputError


class Bare:
    """What deepinv's LinearPhysics has too, and no more: blocks of 2 x 3 pixels, added up."""

    def A(self, x):
        return 6 * torch.nn.functional.avg_pool2d(x, (2, 3))

    def A_adjoint(self, y):
        return y.repeat_interleave(2, dim=-2).repeat_interleave(3, dim=-1)

    def A_dagger(self, y):
        return self.A_adjoint(y) / 6


class Noisy(Bare):
    exact = False

    def describe(self):
        return {"name": "Sums", "block": [2, 3]}


def test_sizes_are_found_by_acting() -> None:
    f = as_corruption(Bare())
    assert f.observed_shape((8, 9)) == (4, 3) and f.image_shape((4, 3)) == (8, 9) and f.coarsens((4, 3)) == (2, 3)
    assert f.linear and f.exact and f.kept((8, 9)) is None and f.hidden((4, 3)) is None
    assert f.describe()["name"] == "Bare" and repr(f) == "Foreign(Bare)"


def test_what_it_says_of_itself_is_heard() -> None:
    f = as_corruption(Noisy())
    assert not f.exact and f.describe() == {"name": "Sums", "block": [2, 3]}


def test_it_acts_as_it_does_and_is_regularised(normal) -> None:
    f, x, y = as_corruption(Bare()), normal((2, 1, 8, 9)), normal((2, 1, 4, 3), seed=1)
    assert torch.equal(f(x), Bare().A(x)) and torch.equal(f.A_dagger(y), Bare().A_dagger(y))
    assert (f(x) * y).sum().item() == pytest.approx((x * f.A_adjoint(y)).sum().item(), rel=1e-12)
    torch.testing.assert_close(f.A_dagger(y, noise_to_signal=0.5), f.A_adjoint(y) / 6.5)


def test_it_is_a_part_like_any_other(normal) -> None:
    """Of a composition, whose adjoint and sizes go through it."""
    f = Compose(Blur(1.0), Bare())
    x, y = normal((1, 1, 8, 9)), normal((1, 1, 4, 3), seed=1)
    assert f.image_shape((4, 3)) == (8, 9) and f.coarsens((4, 3)) == (2, 3)
    assert (f(x) * y).sum().item() == pytest.approx((x * f.A_adjoint(y)).sum().item(), rel=1e-12)


def test_ours_stay_what_they_are() -> None:
    for f in (Downsample(2), Identity()):
        assert as_corruption(f) is f


@pytest.mark.parametrize("other", [lambda x: x, 3, None, "blur", Bare])
def test_what_is_no_operator(other) -> None:
    """A class in place of its instance too: its methods lack the operator itself."""
    if other is Bare:
        with pytest.raises(InputError, match="cannot be applied"):
            as_corruption(other).image_shape((4, 3))
        return
    with pytest.raises(InputError, match="it lacks A, A_adjoint, A_dagger") as caught:
        as_corruption(other)
    assert "\n" not in str(caught.value)


def test_a_size_that_it_cannot_take() -> None:
    class Fussy(Bare):
        def A_adjoint(self, y):
            raise ValueError("only 256 x 256")

    with pytest.raises(InputError, match="Fussy cannot be applied to 4 x 3 pixels: only 256 x 256"):
        as_corruption(Fussy()).image_shape((4, 3))


def test_what_a_foreign_mask_hides_is_found():
    """Zeros under it are no measured black: they would move window and pose."""
    keep = torch.ones(12, 10)
    keep[3:6, 2:7] = 0

    class Holes:
        def A(self, x):
            return x * keep

        A_adjoint = A_dagger = A

    found = as_corruption(Holes()).hidden((12, 10))
    assert found is not None and torch.equal(found, keep == 0)
    assert as_corruption(Holes()).hidden((12, 10)).dtype == torch.bool
