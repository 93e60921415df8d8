"""An alignment says the same as a frame and a window, in numbers that stay right when a person changes them."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch

from napari_brgm.corruptions import Blur, Downsample, Mask
from napari_brgm.engine.alignment import Alignment
from napari_brgm.engine.grid import Grid
from napari_brgm.engine.observed import observe
from napari_brgm.engine.restore import restore
from napari_brgm.engine.window import Window
from napari_brgm.errors import InputError
from napari_brgm.priors.deep_image import DeepImagePrior

MOVED = Alignment(row=3.25, column=-7.5, scale=1.07, rotation=-11.0, low=-20.0, high=900.0)
GRIDS = [
    Grid((208, 176), (208, 176), (1.0, 1.0), 128, (1 / 1.5, 0.8)),
    Grid((52, 44), (208, 176), (4.0, 4.0), 128, (4 / 1.5, 4 / 1.5)),
    Grid((33, 60), (66, 60), (2.0, 1.0), 64, (1.3, 0.65)),
    Grid((17, 23), (26, 35), (1.5, 1.5), 32, (1.5, 1.5)),
]


@pytest.mark.parametrize("grid", GRIDS)
def test_to_a_frame_and_back(grid):
    """Catches a half-pixel error of finer grids, swapped axes, and a scale or rotation the wrong way round."""
    frame = grid.refined(MOVED.frame(grid))
    back = Alignment.of(frame, MOVED.window, grid)
    np.testing.assert_allclose(list(back.as_dict().values()), list(MOVED.as_dict().values()), rtol=1e-12, atol=1e-9)
    again = grid.refined(back.frame(grid))
    for name in ("ratio", "centre_native", "centre_frame", "rotation"):
        np.testing.assert_allclose(getattr(again, name), getattr(frame, name), rtol=1e-12, atol=1e-9)
    assert again.shape == frame.shape == grid.fine


def test_numbers_mean_what_they_say():
    """A point 20 mm above the atlas' centre lies 22 pixels left of it in a larger head that is turned to the left.

    Catches a rotation or a scale that goes the other way.
    """
    grid = Grid((100, 120), (100, 120), (1.0, 1.0), 64, (0.5, 0.5))  # 1 mm in a frame of 2 mm
    frame = Alignment(row=5, column=3, scale=1.1, rotation=90, low=0, high=1).frame(grid)
    row, column = frame.out_of_frame(31.5 - 10, 31.5)
    assert (float(row), float(column)) == pytest.approx((49.5 + 5, 59.5 + 3 - 22))


def test_nothing_moved_is_the_identity():
    """Catches a resampling of slices that are on the prior's grid."""
    still = Alignment(0, 0, 1, 0, 0, 255)
    for side, factor in ((32, (1.0, 1.0)), (8, (4.0, 4.0))):
        grid = Grid((side, side), (32, 32), factor, 32, factor)
        assert grid.refined(still.frame(grid)).is_identity
        turned = Alignment(0, 0, 1, 5, 0, 255)
        assert not grid.refined(turned.frame(grid)).is_identity


def test_json_gives_it_back():
    text = json.dumps(MOVED.as_dict() | {"fitted": True})
    assert Alignment.from_dict(json.loads(text)) == MOVED
    assert MOVED.window == Window(-20.0, 900.0)
    assert Alignment(np.float32(1), np.int64(2), 1, 0, 0, 1).as_dict()["column"] == 2.0  # numpy's numbers are good


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"scale": 0.0}, "scale"), ({"scale": -1.0}, "scale"), ({"scale": 11.0}, "scale"), ({"row": np.nan}, "row"),
        ({"column": np.inf}, "column"), ({"rotation": 181.0}, "rotation"), ({"high": -20.0}, "above low"),
        ({"low": None}, "low"), ({"row": "3"}, "row"), ({"row": True}, "row"),
    ],
)  # fmt: skip
def test_numbers_that_cannot_be_used(change, says):
    with pytest.raises(InputError, match=says) as caught:
        Alignment.from_dict(MOVED.as_dict() | change)
    assert "\n" not in str(caught.value)


def test_what_is_missing_is_named():
    with pytest.raises(InputError, match="lacks scale, high"):
        Alignment.from_dict({"row": 0, "column": 0, "rotation": 0, "low": 0})


@pytest.fixture
def larger(scan):
    """(48, 60): the scan at half the pixel size, off the centre, in units of its own."""
    return np.pad(np.kron(scan, np.ones((2, 2))), ((0, 0), (2, 10)))


def test_a_given_alignment_is_taken_as_it_is(linear_prior, larger, quick):
    """Whatever the settings say, in every pixel and in the provenance; catches a fit that goes on from it."""
    hole = np.zeros(larger.shape, bool)
    hole[18:28, 20:34] = True
    given = Alignment(row=0, column=-4, scale=1.0, rotation=3.0, low=0, high=1020)
    runs = [
        restore(
            larger, Mask(hole), linear_prior, spacing=(0.75, 0.75), samples=2, alignment=given,
            settings=quick.but(fit_pose=fit),
        )
        for fit in (True, False)
    ]  # fmt: skip
    for run in runs:
        assert run.provenance["alignment"] == given.as_dict() | {"fitted": False}
        assert run.provenance["window"] == {"low": 0.0, "high": 1020.0}
        assert run.provenance["frame"]["rotation"] == 3.0
        assert (run.estimate[~hole] == larger[~hole]).all()
    np.testing.assert_array_equal(runs[0].estimate, runs[1].estimate)
    assert np.abs(runs[0].estimate - larger)[hole].mean() < 0.15 * larger.max()


@pytest.mark.parametrize("f", [Downsample(2), Blur(1.5), None])
def test_what_was_fitted_can_be_given_again(linear_prior, larger, quick, f):
    """The provenance's numbers make the same result: catches an alignment that is not what was used."""
    hole = np.zeros(larger.shape, bool)
    hole[18:28, 20:34] = True
    f = f or Mask(hole)
    options = {"spacing": (0.75, 0.75), "samples": 2, "settings": quick, "noise_sigma": 4.0}
    first = restore(larger, f, linear_prior, **options)
    told = first.provenance["alignment"]
    assert told["fitted"] is True
    again = restore(larger, f, linear_prior, alignment=Alignment.from_dict(told), **options)
    np.testing.assert_allclose(again.estimate, first.estimate, atol=1e-3 * np.ptp(larger))
    off = restore(larger, f, linear_prior, **(options | {"settings": quick.but(fit_pose=False)}))
    assert off.provenance["alignment"]["fitted"] is False and off.provenance["alignment"]["scale"] == 1


def test_priors_that_have_nothing_to_fit(linear_prior, scan, hole, quick):
    """On the prior's own grid, and without a trained prior."""
    own = restore(scan, Mask(hole), linear_prior, samples=2, settings=quick).provenance["alignment"]
    assert not own["fitted"] and (own["row"], own["column"], own["scale"], own["rotation"]) == (0, 0, 1, 0)
    for shape in ((37, 61), (600, 20)):
        image = np.random.default_rng(0).random(shape)
        missing = np.zeros(shape, bool)
        missing[5:9, 5:9] = True
        found = observe(image, Mask(missing), DeepImagePrior().for_slice(shape, 1), pose=False).placed
        grid = Grid(shape, shape, (1.0, 1.0), found.frame.resolution, found.frame.ratio)
        assert not found.fitted and found.alignment.scale == 1
        x = torch.rand(1, 1, found.frame.resolution, found.frame.resolution)
        same = found.alignment.frame(grid).A(x)
        torch.testing.assert_close(same, found.frame.A(x), atol=1e-4, rtol=0)


@pytest.mark.parametrize("kind", ["inverted", "outlier", "nothing like it"])
def test_a_contrast_that_is_not_the_priors_is_not_an_error(linear_prior, larger, quick, kind):
    """Catches a window turned upside down by a negative gain, and numbers that overflow on the way to it."""
    hole = np.zeros(larger.shape, bool)
    hole[18:28, 20:34] = True
    image = larger.copy()
    if kind == "inverted":
        image = 1500 - image
    elif kind == "outlier":
        image[3, 3] = 1e30
    else:
        image = np.random.default_rng(0).random(larger.shape) ** 8
    result = restore(image, Mask(hole), linear_prior, spacing=(0.75, 0.75), samples=2, settings=quick)
    told = result.provenance["alignment"]
    assert told["high"] > told["low"] and np.isfinite(result.estimate).all()
