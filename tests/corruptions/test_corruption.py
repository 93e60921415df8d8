"""Every corruption: adjoint, pseudo-inverse, gradient, answers to the engine, and a sentence for bad input."""

from __future__ import annotations

import json
import pickle
from fractions import Fraction
from typing import Any

import numpy as np
import pytest
import torch
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
    Mixture,
    Motion,
)
from napari_brgm.corruptions.conjugate_gradient import tikhonov_inverse
from napari_brgm.errors import InputError

SHAPES = [(24, 24), (17, 22), (9, 31)]


def some_mask(shape: tuple[int, ...]) -> Mask:
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
    "masks of a stack": lambda shape: some_mask((3, *shape)),
    "thick slices": Mixture([[0.25, 0.5, 0.25], [0, 0.4, 0.6]]),
    "masks of a stack, thick slices": lambda shape: Compose(some_mask((3, *shape)), Mixture([[0.3, 0.3, 0.4]])),
}
OF_THREE_CHANNELS = ("grayscale", "thick slices")  # what they see of one is another matter


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


@pytest.mark.parametrize("name", [n for n in OPERATORS if n not in OF_THREE_CHANNELS and "mask" not in n])
def test_a_constant_stays_what_it_is(name: str) -> None:
    """Up to the edges, for sizes that the factor does not divide too."""
    y = operator_for(name, (23, 26))(torch.full((1, 1, 23, 26), 7.0, dtype=torch.float64))
    torch.testing.assert_close(y, torch.full_like(y, 7.0))


def test_what_the_engine_asks_of_each(name: str) -> None:
    """Answers that agree with what A does: sizes, channels, and the pixels that hold nothing or are kept."""
    shape = (12, 15)
    f = operator_for(name, shape)
    x = random((2, 3, *shape)) + 5
    y = f(x)
    size = tuple(y.shape[-2:])
    assert y.shape[1] == f.observed_channels(3)
    assert f.coarsens(size) == pytest.approx([n / m for n, m in zip(shape, size, strict=True)], rel=0.13)
    hidden, kept = f.hidden(size), f.kept(shape)
    if kept is not None:
        assert hidden is not None and torch.equal(kept, ~hidden)
        where = kept.expand(y.shape)
        assert torch.equal(y[where], x[where]) and bool((y[~where] == 0).all())
    if f.iterative:  # the engine may run it by itself, to be heard between its steps
        wanted = tikhonov_inverse(f.A, lambda r: f.A_adjoint(r, shape), y, 0.1)
        torch.testing.assert_close(f.A_dagger(y, shape, noise_to_signal=0.1), wanted)
    assert f.iterative == (isinstance(f, Compose | Motion))
    if f.averages:
        assert y.mean().item() == pytest.approx(x.mean().item(), rel=0.1)


# ---- bad input

X = torch.ones(1, 1, 4, 4)


@pytest.mark.parametrize(
    ("call", "sentence"),
    [
        (lambda: Mask(np.zeros(4, bool)), "two-dimensional"),
        (lambda: Mask(np.zeros((2, 2, 2, 2), bool)), "two-dimensional"),
        (lambda: Mask(np.zeros((2, 2, 2), bool)), "no pixel"),
        (lambda: Mask(np.zeros((4, 4), bool)), "no pixel"),
        (lambda: Mask(np.zeros((0, 4), bool)), "no pixel"),
        (lambda: Mask(np.ones((4, 4), bool)), "every pixel"),
        (lambda: Mask(np.full((4, 4), 255)), "true and false"),
        (lambda: Mask([[0.5, 1.0]]), "true and false"),
        (lambda: Mask([[np.nan, 1.0]]), "true and false"),
        (lambda: Mask([["a", "b"]]), "true and false"),
        (lambda: Mask([[True, False]])(X), "1 x 2 pixels, got 4 x 4"),
        (lambda: Mask([[True, False]]).observed_shape((4, 4)), "1 x 2 pixels but the image has 4 x 4"),
        (lambda: Mask([[True, False]]).A_dagger(X[..., :1, :2], noise_to_signal=-1), "noise_to_signal"),
        (lambda: Identity()(X[0]), r"\(B, C, H, W\)"),
        (lambda: Downsample(2)(X.long()), "float tensor"),
        (lambda: Downsample(1), "above 1"),
        (lambda: Downsample((0.5, 2)), "above 1"),
        (lambda: Downsample(float("nan")), "factor must be"),
        (lambda: Downsample(float("inf")), "factor must be"),
        (lambda: Downsample((2, 2, 2, 2)), "factor must be"),
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
        (lambda: Mixture([[0.5, 0.5], [0.0, 0.0]]), "row of zeros"),
        (lambda: Mixture([[float("inf"), 1.0]]), "finite"),
        (lambda: Mixture(torch.ones(0, 3)), "finite"),
        (lambda: Mixture([[0.5, 0.5]])(X), "2 channel"),
        (lambda: Mixture([[0.5, 0.5]]).A_adjoint(torch.ones(1, 2, 4, 4)), "1 channel"),
    ],
)
def test_bad_input_gets_a_sentence(call: Any, sentence: str) -> None:
    with pytest.raises(InputError, match=sentence) as caught:
        call()
    assert "\n" not in str(caught.value)
