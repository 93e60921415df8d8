"""Every corruption: adjoint, pseudo-inverse, gradient, geometry, and a sentence for bad input."""

from __future__ import annotations

import json
import pickle
from fractions import Fraction
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from napari_brgm.corruptions import (
    Blur,
    Compose,
    Corruption,
    Downsample,
    Grayscale,
    Identity,
    Jpeg,
    LinearCorruption,
    LinearOperator,
    Mask,
    Motion,
)
from napari_brgm.errors import InputError

SHAPES = [(24, 24), (17, 22), (9, 31)]


def some_mask(shape: tuple[int, int]) -> Mask:
    return Mask(np.random.default_rng(0).random(shape) < 0.4)


def random(shape: tuple[int, ...], seed: int = 0) -> Tensor:
    return torch.from_numpy(np.random.default_rng(seed).normal(size=shape))  # float64


# operators whose singular values are far enough from 0 for A A^+ A = A to hold to rounding
OPERATORS: dict[str, Any] = {
    "mask": some_mask,
    "identity": Identity(),
    "jpeg": Jpeg(30),
    "grayscale": Grayscale(),
    "area 4": Downsample(4),
    "area 3/2": Downsample(Fraction(3, 2)),
    "bicubic 5/2": Downsample(2.5, "bicubic"),
    "gaussian (4, 1)": Downsample((4, 1), "gaussian"),
    "gaussian (1, 2.5)": Downsample((1, 2.5), "gaussian", fwhm=0.8),
    "slices with gaps": Downsample((3, 1), "slice_profile", width=0.6),
    "slices that overlap": Downsample((1, 5), "slice_profile", width=1.4, fwhm=0),
    "blur": Blur((1.5, 0.7)),
    "blur of one axis": Blur((0, 2)),
    "motion": Motion(3.3, 30),
    "motion along a column": Motion(2, 90),
    "motion beyond the image": Motion(25, -20),
    "blur, downsample": Compose(Blur(1), Downsample(2)),
    "mask, motion, grayscale": lambda shape: Compose(some_mask(shape), Motion(2.5, 60), Grayscale()),
}


@pytest.fixture(params=OPERATORS)
def name(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def operator_for(name: str, shape: tuple[int, int]) -> LinearOperator:
    entry = OPERATORS[name]
    return entry if isinstance(entry, LinearOperator) else entry(shape)


@pytest.mark.parametrize("shape", SHAPES)
def test_adjoint_shapes_and_gradient(name: str, shape: tuple[int, int]) -> None:
    """<A x, y> = <x, A' y>, and the gradient that autograd finds is A' y."""
    f = operator_for(name, shape)
    x = random((2, 3, *shape)).requires_grad_()
    ax = f(x)
    y = random(tuple(ax.shape), seed=1)
    assert tuple(ax.shape[-2:]) == f.observed_shape(shape)
    back = f.A_adjoint(y, shape)
    assert back.shape == x.shape
    assert (ax * y).sum().item() == pytest.approx((x * back).sum().item(), rel=1e-9, abs=1e-9)
    (gradient,) = torch.autograd.grad(ax, x, y)
    torch.testing.assert_close(gradient, back)


@pytest.mark.parametrize("shape", SHAPES)
def test_pseudo_inverse(name: str, shape: tuple[int, int]) -> None:
    """A A^+ A = A, and A^+ A x is the x of least norm: it has no part in the null space of A.

    Motion all but erases some frequencies, which the iterations leave out: its bounds are looser.
    """
    f = operator_for(name, shape)
    x = random((2, 3, *shape))
    y = f(x)
    least = f.A_dagger(y, shape)
    erased = "motion" in name
    torch.testing.assert_close(f(least), y, atol=3e-3 if erased else 1e-6, rtol=0)
    assert (least * (x - least)).sum().item() == pytest.approx(
        0, abs=0.02 * x.square().sum().item() if erased else 1e-4
    )
    assert least.norm() <= x.norm() * (1 + 1e-9)


@pytest.mark.parametrize("ratio", [0.01, 1.0])
def test_regularised_inverse_solves_the_normal_equations(name: str, ratio: float) -> None:
    """(A' A + r I) x = A' y: a wrong power or factor of r would show."""
    shape = (12, 15)
    f = operator_for(name, shape)
    y = random(tuple(f(random((2, 3, *shape))).shape), seed=2)
    x = f.A_dagger(y, shape, noise_to_signal=ratio)
    torch.testing.assert_close(f.A_adjoint(f(x), shape) + ratio * x, f.A_adjoint(y, shape), atol=1e-7, rtol=1e-7)


def test_single_images_come_out_as_in_a_batch(name: str) -> None:
    shape = (12, 15)
    f = operator_for(name, shape)
    x = random((3, 3, *shape)) * torch.tensor([1.0, 100.0, 0.01])[:, None, None, None]
    y = f(x)
    torch.testing.assert_close(f(x[1:2]), y[1:2])
    torch.testing.assert_close(f.A_dagger(y[1:2], shape), f.A_dagger(y, shape)[1:2], atol=1e-5, rtol=1e-5)


def test_objects_are_frozen_described_and_sent_to_other_processes(name: str) -> None:
    f = operator_for(name, (12, 15))
    assert f.linear
    assert isinstance(f, Corruption)
    assert isinstance(f, LinearCorruption)
    assert json.loads(json.dumps(f.describe()))["name"] == type(f).__name__ == repr(f).split("(")[0]
    with pytest.raises((AttributeError, TypeError)):
        f.spacing = 1  # type: ignore[attr-defined]
    again = pickle.loads(pickle.dumps(f))
    assert again.describe() == f.describe()
    x = random((1, 3, 12, 15))
    torch.testing.assert_close(again(x), f(x))


def test_dtype_follows_the_input_and_float32_is_accurate(name: str) -> None:
    shape = (12, 15)
    f = operator_for(name, shape)
    x = random((1, 3, *shape))
    y = f(x.float())
    assert y.dtype == torch.float32
    torch.testing.assert_close(y.double(), f(x), atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(f(f.A_dagger(y, shape)), y, atol=1e-3, rtol=1e-3)


def test_constants_follow_the_device(name: str) -> None:
    """The meta device computes shapes only, and refuses to mix with tensors left on the CPU."""
    f = operator_for(name, (12, 15))
    y = f(torch.empty(1, 3, 12, 15, device="meta"))
    assert y.device.type == f.A_adjoint(y, (12, 15)).device.type == "meta"


def test_constants_cached_in_inference_mode_still_let_gradients_through() -> None:
    x = random((1, 1, 11, 13))  # a size that no other test has cached
    for f in (Downsample(2), Motion(3, 10), some_mask((11, 13))):
        with torch.inference_mode():
            f(x)
        z = x.clone().requires_grad_()
        f(z).sum().backward()
        assert z.grad is not None


# ---- constants and geometry

KERNELS = [
    Downsample(4),
    Downsample((3, 2), "bicubic"),
    Downsample(4, "gaussian", fwhm=0.8),
    Downsample(3, "slice_profile", width=0.7, fwhm=0.1),
    Downsample(2, "slice_profile", width=1.2, fwhm=0),
]


@pytest.mark.parametrize("name", [n for n in OPERATORS if n != "grayscale" and "mask" not in n])
def test_a_constant_stays_what_it_is(name: str) -> None:
    """Up to the edges, for sizes that the factor does not divide too."""
    y = operator_for(name, (23, 26))(torch.full((1, 1, 23, 26), 7.0, dtype=torch.float64))
    torch.testing.assert_close(y, torch.full_like(y, 7.0))


@pytest.mark.parametrize("f", KERNELS, ids=str)
def test_half_pixel_geometry(f: Downsample) -> None:
    """A ramp in low-resolution pixels, (i + 0.5) / f - 0.5, is seen as 0, 1, 2, ...: a shifted grid would show."""
    row, column = (float(v) for v in f.factor)
    size = (int(16 * row), int(16 * column))
    y, x = ((torch.arange(n, dtype=torch.float64) + 0.5) / v - 0.5 for n, v in zip(size, (row, column), strict=True))
    seen = f((100 * y[:, None] + x)[None, None])[0, 0]
    low = torch.arange(16, dtype=torch.float64)
    torch.testing.assert_close(seen[4:-4, 4:-4], (100 * low[:, None] + low)[4:-4, 4:-4], atol=2e-6, rtol=0)


@pytest.mark.parametrize("kernel", ["area", "bicubic", "gaussian", "slice_profile"])
def test_fractional_factors_do_not_drift(kernel: Any) -> None:
    """With 5/2 the kernels see a ramp to a tenth of a low-resolution pixel, and without drift over the image."""
    k = torch.from_numpy(Downsample(Fraction(5, 2), kernel).axis_matrix(0, 100))
    error = k @ ((torch.arange(100, dtype=torch.float64) + 0.5) / 2.5 - 0.5) - torch.arange(40)
    assert error[4:36].abs().max() < 0.1
    assert error[4:36].mean().abs() < 1e-6


def test_area_is_average_pooling() -> None:
    x = random((2, 3, 16, 24))
    torch.testing.assert_close(Downsample(4)(x), F.avg_pool2d(x, 4))


def test_area_splits_pixels_by_overlap() -> None:
    k = Downsample(Fraction(3, 2)).axis_matrix(0, 3)
    np.testing.assert_allclose(k, [[2 / 3, 1 / 3, 0], [0, 1 / 3, 2 / 3]], atol=1e-12)


def test_bicubic_is_torch_antialiased_bicubic() -> None:
    x = random((1, 1, 30, 40))
    torch.testing.assert_close(
        Downsample((2.5, 4), "bicubic")(x), F.interpolate(x, size=(12, 10), mode="bicubic", antialias=True)
    )


def test_gaussian_and_slice_profile_have_the_width_they_are_given() -> None:
    """Measured on the middle row of the matrix, in low-resolution pixels."""
    fine = (np.arange(800) + 0.5) / 40 - 0.5

    def spread(f: Downsample) -> float:
        weights = f.axis_matrix(0, 800)[10]
        return float(np.sqrt(weights @ (fine - 10) ** 2))

    to_sigma = 1 / (2 * np.sqrt(2 * np.log(2)))
    assert spread(Downsample(40, "gaussian", fwhm=1.5)) == pytest.approx(1.5 * to_sigma, rel=1e-3)
    profile = Downsample(40, "slice_profile", width=0.6, fwhm=0.3)
    assert spread(profile) == pytest.approx(np.hypot(0.6 / np.sqrt(12), 0.3 * to_sigma), rel=1e-3)
    gaps = Downsample(40, "slice_profile", width=0.5, fwhm=0).axis_matrix(0, 800)
    assert (gaps > 0).sum(axis=1).tolist() == [20] * 20  # half of every 40 fine pixels is not seen


def test_blur_has_the_width_it_is_given_and_reflects() -> None:
    k = Blur(6).axis_matrix(0, 101)
    profile = k[50]
    assert profile[50 + 3] / profile[50] == pytest.approx(0.5, rel=0.01)
    x = random((1, 1, 9, 40))
    mirrored = torch.cat([x.flip(-1), x, x.flip(-1)], dim=-1)
    torch.testing.assert_close(Blur((0, 4))(mirrored)[..., 40:80], Blur((0, 4))(x))
    torch.testing.assert_close(Motion(7.5, 0)(mirrored)[..., 40:80], Motion(7.5, 0)(x))


def test_motion_goes_the_way_the_angle_says() -> None:
    """45 degrees is up and to the right as displayed; the path has the length asked for."""
    point = torch.zeros(1, 1, 41, 41, dtype=torch.float64)
    point[..., 20, 20] = 1
    y = Motion(20, 45)(point)[0, 0]
    assert y[15, 25] > 0.02
    assert y[25, 15] > 0.02
    assert y[15, 15] == y[25, 25] == 0
    at = torch.arange(41, dtype=torch.float64) - 20
    assert float((y.sum(0) * at).sum()) == pytest.approx(0, abs=1e-12)
    # variance of a path of length L is L^2 / 12, half of it on each axis, plus that of the bilinear hat (below 1/4)
    assert 0 < float((y.sum(0) * at**2).sum()) - 20**2 / 24 < 0.25
    assert int((Motion(20, 90)(point)[0, 0].sum(0) > 0).sum()) == 1


def test_gray_is_rec_601() -> None:
    x = torch.tensor([1.0, 10.0, 100.0])[None, :, None, None]
    assert Grayscale()(x).item() == pytest.approx(0.299 + 5.87 + 11.4)


def test_compose_goes_from_left_to_right() -> None:
    mask = some_mask((6, 6))
    x = random((1, 1, 24, 24))
    torch.testing.assert_close(Compose(Downsample(4), mask)(x), mask(Downsample(4)(x)))
    assert Compose(Downsample(4), mask).image_shape((6, 6)) == (24, 24)


@pytest.mark.parametrize("factor", [1.2, 1.5, 2, 2.5, 3.7, 6])
@pytest.mark.parametrize("n", [1, 2, 3, 10, 33])
def test_low_sizes_survive_refinement(factor: float, n: int) -> None:
    f = Downsample(factor)
    assert f.observed_shape(f.image_shape((n, n))) == (n, n)
    assert f.A_dagger(torch.ones(1, 1, n, n)).shape[-2:] == f.image_shape((n, n))


def test_masked_pixels_hide_even_nan() -> None:
    x = torch.tensor([[float("nan"), 2.0]])[None, None]
    mask = Mask(torch.tensor([[1, 0]]))
    assert mask(x).tolist() == [[[[0.0, 2.0]]]]
    assert mask.observed.tolist() == [[False, True]]


def test_equal_parameters_are_equal_objects() -> None:
    assert Downsample(2) == Downsample((2.0, Fraction(2)))
    assert len({Downsample(2), Downsample((2, 2)), Downsample(2, "bicubic")}) == 2
    assert repr(Downsample((2.5, 1), "gaussian")) == "Downsample(factor=(5/2, 1), kernel='gaussian', fwhm=1)"


# ---- bad input

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


@pytest.mark.parametrize(
    ("call", "sentence"),
    [
        (lambda: Mask(np.zeros((2, 2, 2), bool)), "two-dimensional"),
        (lambda: Mask(np.zeros((4, 4), bool)), "no pixel"),
        (lambda: Mask(np.zeros((0, 4), bool)), "no pixel"),
        (lambda: Mask(np.ones((4, 4), bool)), "every pixel"),
        (lambda: Mask(np.full((4, 4), 255)), "true and false"),
        (lambda: Mask([[0.5, 1.0]]), "true and false"),
        (lambda: Mask([[np.nan, 1.0]]), "true and false"),
        (lambda: Mask([["a", "b"]]), "true and false"),
        (lambda: Mask([[True, False]])(X), "1 x 2 pixels, got 4 x 4"),
        (lambda: Mask([[True, False]]).observed_shape((4, 4)), "1 x 2 pixels, but the image 4 x 4"),
        (lambda: Mask([[True, False]]).A_dagger(X[..., :1, :2], noise_to_signal=-1), "noise_to_signal"),
        (lambda: Identity()(X[0]), r"\(B, C, H, W\)"),
        (lambda: Downsample(2)(X.long()), "float tensor"),
        (lambda: Downsample(1), "above 1"),
        (lambda: Downsample((0.5, 2)), "above 1"),
        (lambda: Downsample(float("nan")), "factor must be"),
        (lambda: Downsample(float("inf")), "factor must be"),
        (lambda: Downsample((2, 2, 2)), "factor must be"),
        (lambda: Downsample(None), "factor must be"),  # type: ignore[arg-type]
        (lambda: Downsample(2, "lanczos"), "choose one of area"),  # type: ignore[arg-type]
        (lambda: Downsample(2, fwhm=1), "takes no fwhm"),
        (lambda: Downsample(2, "gaussian", fwhm=0), "fwhm must be"),
        (lambda: Downsample(2, "slice_profile", width=float("nan")), "width must be"),
        (lambda: Downsample(2).A_adjoint(X, (12, 12)), "expects images of 6 x 6"),
        (lambda: Blur(0), "fwhm must be"),
        (lambda: Blur((1, -1)), "fwhm must be"),
        (lambda: Blur((1, 2, 3)), "fwhm must be"),  # type: ignore[arg-type]
        (lambda: Motion(0), "length"),
        (lambda: Motion(3, float("nan")), "angle"),
        (lambda: Grayscale((1, 2)), "three finite"),  # type: ignore[arg-type]
        (lambda: Grayscale()(X), "3 channel"),
        (lambda: Compose(), "at least one"),
        (lambda: Compose(lambda x: x), "is not a corruption"),  # type: ignore[arg-type]
        (lambda: Compose(Identity(), Squared()).A_dagger(X), "not linear"),
        (lambda: Compose(Identity(), Squared()).A_adjoint(X), "not linear"),
    ],
)
def test_bad_input_gets_a_sentence(call: Any, sentence: str) -> None:
    with pytest.raises(InputError, match=sentence) as caught:
        call()
    assert "\n" not in str(caught.value)


def test_a_part_that_is_not_linear_still_runs_forward() -> None:
    f = Compose(Identity(), Squared())
    assert not f.linear
    assert f(3 * X).unique().tolist() == [9]
