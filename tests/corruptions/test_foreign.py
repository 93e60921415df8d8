"""Operators of others: three methods are enough, and what more they say is heard."""

from __future__ import annotations

import pytest
import torch

from napari_brgm.corruptions import Blur, Compose, Downsample, Identity, Mask, as_corruption
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


class Holes:
    """A mask that is an operator, in the precision of its tensor only."""

    def __init__(self, dtype=torch.float32, channels=1):
        self.keep = torch.ones(channels, 12, 10, dtype=dtype)
        self.keep[:, 3:6, 2:7] = 0

    def A(self, x):
        if x.dtype != self.keep.dtype or x.shape[1] != len(self.keep):
            raise RuntimeError("expected scalar type Double but found Float")
        return x * self.keep

    A_adjoint = A_dagger = A


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_a_foreign_mask_keeps_what_it_does_not_hide(dtype, channels) -> None:
    """And is well posed, as ours is."""
    f = as_corruption(Holes(dtype, channels))
    assert torch.equal(f.kept((12, 10)), ~f.hidden((12, 10))) and int(f.hidden((12, 10)).sum()) == 15
    assert f.kept((12, 10)).dtype == torch.bool and f.well_posed((12, 10))
    if channels == 1:
        assert torch.equal(
            Compose(f, Mask(torch.eye(12)[:, :10])).kept((12, 10)), f.kept((12, 10)) & ~torch.eye(12)[:, :10].bool()
        )


def test_what_changes_pixels_or_nothing_keeps_none() -> None:
    class Nothing(Holes):
        def A(self, x):
            return x

        A_adjoint = A_dagger = A

    class Half(Holes):
        def A(self, x):
            return x * self.keep / 2

    for operator in (Nothing(), Half(), Bare()):
        assert as_corruption(operator).kept((12, 12) if isinstance(operator, Bare) else (12, 10)) is None


def test_it_acts_in_its_own_precision(normal) -> None:
    """Float images come back as floats, with their gradient, whatever it computes in."""

    class Module(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.register_buffer("k", torch.rand(4, 8, dtype=torch.float64))

        def A(self, x):
            return self.k @ x

        def A_adjoint(self, y):
            return self.k.T @ y

        def A_dagger(self, y):
            return torch.linalg.pinv(self.k) @ y

    class Numbers(Module):
        def A_adjoint(self, y):
            return y.numpy().repeat(2, axis=-2)

    f, x = as_corruption(Module()), normal((2, 1, 8, 5)).float().requires_grad_()
    y = f(x)
    assert y.dtype == torch.float32 and torch.allclose(y.double(), f.operator.k @ x.double(), atol=1e-5)
    y.sum().backward()
    torch.testing.assert_close(x.grad, f.A_adjoint(torch.ones(2, 1, 4, 5)))
    assert f.image_shape((4, 5)) == (8, 5) and f(x.double()).dtype == torch.float64
    assert torch.equal(as_corruption(Numbers()).A_adjoint(y.detach()), y.detach().repeat_interleave(2, dim=-2))


def test_its_inverse_is_tried_before_it_is_trusted() -> None:
    """Catches data that are missed for a regularisation that is not needed, and noise that is blown up."""

    class Blurred(Bare):
        f = Blur(3)

        def A(self, x):
            return self.f.A(x)

        def A_adjoint(self, y):
            return self.f.A_adjoint(y)

        def A_dagger(self, y):
            return self.f.A_dagger(y)

    class Wrong(Bare):
        def A_dagger(self, y):
            return self.A_adjoint(y)

    class OnePixel(Bare):
        def A_dagger(self, y):
            x = torch.zeros(*y.shape[:2], 2 * y.shape[2], 3 * y.shape[3])
            x[..., ::2, ::3] = y
            return x

    class Failing(Bare):
        def A_dagger(self, y):
            raise NotImplementedError

    assert as_corruption(Bare()).well_posed((4, 3))
    for operator in (Blurred(), Wrong(), OnePixel(), Failing()):
        assert not as_corruption(operator).well_posed((4, 3))


def test_all_that_it_knows_is_asked() -> None:
    class Knowing(Bare):
        linear, exact, averages, adds_noise, iterative, well_posed = True, False, True, True, False, True

        def hidden(self, observed_hw):
            return torch.eye(*observed_hw)

        def kept(self, image_hw):
            return None

        def coarsens(self, observed_hw):
            return 2, 3.25

        def observed_channels(self, channels):
            return channels + 1

        def noise_in(self, observation):
            return 4.0

    f = as_corruption(Knowing())
    assert not f.exact and f.averages and f.adds_noise and not f.iterative and f.well_posed((4, 3))
    assert torch.equal(f.hidden((4, 3)), torch.eye(4, 3).bool()) and f.kept((8, 9)) is None
    assert f.coarsens((4, 3)) == (2.0, 3.25) and f.observed_channels(1) == 2 and f.noise_in(None) == 4.0


def test_what_it_raises_is_one_sentence() -> None:
    class Raising(Bare):
        def A(self, x):
            raise IndexError("too few\nof them")

        def coarsens(self, observed_hw):
            raise KeyError("no")

    f = as_corruption(Raising())
    with pytest.raises(InputError, match=r"Raising cannot be applied to 8 x 9 pixels: too few$"):
        f.A(torch.ones(1, 1, 8, 9))
    with pytest.raises(InputError, match="Raising cannot be applied: 'no'"):
        f.coarsens((4, 3))
    with pytest.raises(InputError, match="Bare makes 4 x 4 pixels of 8 x 12, but the image has 4 x 5"):
        f = as_corruption(Bare())
        f.operator.image_shape = lambda size: (8, 12)
        f.hidden((4, 5))


def test_it_is_equal_where_the_operator_is_the_same() -> None:
    operator = Bare()
    assert as_corruption(operator) == as_corruption(operator) != as_corruption(Bare())
    assert Compose(Blur(1), operator) == Compose(Blur(1), operator)


def test_it_is_part_of_what_is_hidden() -> None:
    """What was masked before it: where only that arrives."""
    missing = torch.zeros(8, 9, dtype=torch.bool)
    missing[2:4, 3:6], missing[0, 0] = True, True
    hidden = Compose(Mask(missing), Bare()).hidden((4, 3))
    assert int(hidden.sum()) == 1 and bool(hidden[1, 1])
