"""Bad input ends in one sentence of the right class, and cancelling stops."""

from __future__ import annotations

import json
import threading

import numpy as np
import pytest

from napari_brgm.corruptions import Downsample, Mask
from napari_brgm.engine.restore import restore, restore_steps
from napari_brgm.errors import BrgmError, Cancelled, InputError


def one_sentence(caught) -> str:
    text = str(caught.value)
    assert isinstance(caught.value, BrgmError) and not isinstance(caught.value, RuntimeError)
    assert text and "\n" not in text and len(text) < 250 and "Traceback" not in text
    return text


def with_value(scan, value):
    image = scan.copy()
    image[2, 3] = value
    return image


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (lambda s, h: (s[:-1], h), "the mask has 24 x 24 pixels but the image has 23 x 24"),
        (lambda s, h: (with_value(s, np.nan), h), "NaN or infinite"),
        (lambda s, h: (with_value(s, np.inf), h), "NaN or infinite"),
        (lambda s, h: (np.stack([s] * 3, axis=-1), h), "colour"),
        (lambda s, h: (np.stack([s] * 4, axis=-1), h), "colour"),
        (lambda s, h: (np.full_like(s, 7), h), "same value"),
        (lambda s, h: (s[None].repeat(5, axis=0), h), "one slice"),
        (lambda s, h: (s[None, None], h), "one slice"),
        (lambda s, h: (s[0], h), "one slice"),
        (lambda s, h: (s[:2, :2], h[:2, :2]), "4 x 4"),
        (lambda s, h: (s.astype(complex), h), "real numbers"),
        (lambda s, h: (s.astype(str), h), "real numbers"),
        (lambda s, h: (s, np.stack([h] * 2)), "restore takes one slice"),
    ],
)  # fmt: skip
def test_images_that_cannot_be_used(linear_prior, scan, hole, quick, change, says):
    image, missing = change(scan, hole.copy())
    missing[..., 0, 0] = True
    with pytest.raises(InputError, match=says) as caught:
        restore(image, Mask(missing), linear_prior, settings=quick)
    one_sentence(caught)


@pytest.mark.parametrize(("fill", "says"), [(False, "no pixel"), (True, "every pixel")])
def test_masks_of_nothing_or_everything(linear_prior, scan, quick, fill, says):
    with pytest.raises(InputError, match=says) as caught:
        restore(scan, Mask(np.full((24, 24), fill)), linear_prior, settings=quick)
    one_sentence(caught)


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ({"method": "mcmc"}, "'map', 'laplace' or 'vi'"),
            ({"samples": 1}, "samples"), ({"noise_sigma": -1.0}, "noise_sigma"),
        ({"noise_sigma": float("nan")}, "noise_sigma"), ({"noise_sigma": float("inf")}, "noise_sigma"),
        ({"spacing": (1.0, 0.0)}, "spacing"), ({"spacing": (1.0, float("nan"))}, "spacing"),
        ({"spacing": (1.0, 1.0, 1.0)}, "spacing"),
    ],
)  # fmt: skip
def test_arguments_that_cannot_be_used(linear_prior, scan, hole, quick, arguments, says):
    with pytest.raises(InputError, match=says) as caught:
        restore(scan, Mask(hole), linear_prior, settings=quick, **arguments)
    one_sentence(caught)


def test_a_low_resolution_image_with_nan(linear_prior, scan, quick):
    with pytest.raises(InputError, match="NaN"):
        restore(with_value(scan[::2, ::2], np.nan), Downsample(2), linear_prior, settings=quick)


def test_values_from_numpy_are_as_good_as_python_s(linear_prior, scan, hole, quick, tmp_path):
    """Headers give float32 spacings: catches a provenance that JSON cannot hold."""
    result = restore(
        scan, Mask(hole), linear_prior, settings=quick, spacing=np.array([1.0, 1.2], np.float32),
        noise_sigma=np.float32(3), samples=np.int64(2), seed=np.int64(4),
    )  # fmt: skip
    json.dumps(result.provenance)
    result.save(tmp_path / "result.brgm")


def test_one_odd_pixel_in_a_constant_image(linear_prior, hole, quick):
    image = np.zeros((24, 24))
    image[0, 0] = -1
    assert np.isfinite(restore(image, Mask(hole), linear_prior, samples=2, settings=quick).estimate).all()


def test_a_callback_that_returns_false_stops_at_once(linear_prior, scan, hole, quick):
    seen = []

    def stop(step):
        seen.append(step)
        return step.iteration < 3

    with pytest.raises(Cancelled, match="step 3"):
        restore(scan, Mask(hole), linear_prior, settings=quick.but(steps=50), callback=stop)
    assert len(seen) == 3
    with pytest.raises(Cancelled):
        restore(scan, Mask(hole), linear_prior, settings=quick, callback=lambda step: np.bool_(step.iteration < 1))
    done = restore(scan, Mask(hole), linear_prior, samples=2, settings=quick, callback=lambda step: None)
    assert done.shape == (24, 24)


def test_what_a_callback_raises_comes_through(linear_prior, scan, hole, quick):
    """``Cancelled`` with its own words; and a fault of the callback's is not taken for one of the slice's."""
    for error in (Cancelled("the window was closed"), ValueError("a bug"), InputError("not of the slice")):

        def callback(step, error=error):
            raise error

        with pytest.raises(type(error), match=str(error)):
            restore(scan, Mask(hole), linear_prior, settings=quick, callback=callback)


def test_what_goes_wrong_comes_out_of_the_generator_too(linear_prior, scan, hole, quick):
    """It works in a thread of its own: an error there must not be lost, nor a warning of it remain."""
    with pytest.raises(InputError, match="samples"):
        next(restore_steps(scan, Mask(hole), linear_prior, samples=1, settings=quick))
    run = restore_steps(scan, Mask(hole), linear_prior, samples=2, settings=quick)
    steps = []
    while True:
        try:
            steps.append(next(run))
        except StopIteration as end:
            assert end.value.shape == (24, 24) and steps[-1].iteration == steps[-1].total
            break


def test_closing_the_generator_stops(linear_prior, scan, hole, quick):
    run = restore_steps(scan, Mask(hole), linear_prior, settings=quick.but(steps=50))
    next(run)
    next(run)
    before = threading.active_count()
    run.close()
    assert threading.active_count() == before - 1  # and nothing goes on behind it
    with pytest.raises(StopIteration):
        next(run)


@pytest.mark.parametrize("samples", [2.5, "x", None])
def test_samples_are_a_whole_number(linear_prior, scan, hole, quick, samples):
    with pytest.raises(InputError, match="samples must be a whole number"):
        restore(scan, Mask(hole), linear_prior, samples=samples, settings=quick)


@pytest.mark.parametrize("forgotten", ["A", "A_adjoint"])
def test_an_operator_that_returns_nothing(linear_prior, scan, quick, forgotten):
    """A forgotten return."""
    operator = type("Own", (), {name: staticmethod(lambda x: x) for name in ("A", "A_adjoint", "A_dagger")})()
    setattr(operator, forgotten, lambda x: None)
    with pytest.raises(InputError, match=f"{forgotten} of Own gives nothing back"):
        restore(scan, operator, linear_prior, samples=2, settings=quick)
