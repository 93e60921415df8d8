"""How slices of a layer lie to each other: as their scan says, whose layer stands upright whatever leans."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest
from napari.components import ViewerModel

from napari_brgm.plugin.layers.scans import image_layer
from napari_brgm.plugin.layers.shown import shown_slice
from napari_brgm.plugin.layers.stacks import stack_of
from napari_brgm.scan import Scan

if TYPE_CHECKING:
    from napari.layers import Image

VOLUME = np.random.default_rng(0).normal(100, 10, (6, 8, 7)).astype(np.float32)


def opened(affine) -> tuple[ViewerModel, Image]:
    """Viewer and layer of a scan, its slices along the third axis of the file."""
    viewer = ViewerModel()
    data, settings, _ = image_layer(Scan(VOLUME, np.asarray(affine, float), name="scan"))
    return viewer, viewer.add_image(data, **settings)


def stack(viewer, image):
    viewer.dims.set_current_step(0, 3)
    return stack_of(image, [shown_slice(image, viewer.dims)])


def gantry(degrees: float, distance: float = 4.0) -> np.ndarray:
    """Slices straight in the patient, each shifted to the front against the one below, as of a tilted gantry."""
    angle = np.radians(degrees)
    return np.array(
        [[-1, 0, 0, 0], [0, 1.2, distance * np.tan(angle), 0], [0, 0, distance, 0], [0, 0, 0, 1]], dtype=float
    )


def test_slices_that_are_shifted_against_each_other_are_no_stack() -> None:
    """Their layer lies on a diagonal scale: catches in-painting that takes what is beside a hole for what is above."""
    for degrees in (12, 25, -25):
        assert stack(*opened(gantry(degrees))) is None, degrees
    for degrees in (0, 5):
        found = stack(*opened(gantry(degrees)))
        assert found is not None
        assert found.places == pytest.approx((12.0,))
        assert [at for at, _ in found.neighbours] == pytest.approx([0, 4, 8, 16, 20, 24])


def test_oblique_slices_that_stand_upright_are_one() -> None:
    """Turned as a whole: distances along their normal, which is no axis of the patient."""
    angle = np.radians(20)
    turn = np.eye(4)
    turn[1:3, 1:3] = [[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]]
    found = stack(*opened(turn @ gantry(0)))
    assert found is not None and found.places == pytest.approx((12.0,))
    assert stack(*opened(turn @ gantry(20))) is None


def test_a_layer_that_no_file_tells_of_is_taken_as_it_lies() -> None:
    viewer = ViewerModel()
    found = stack(viewer, viewer.add_image(VOLUME, scale=(4, 1.2, 1), units="mm"))
    assert found is not None and found.places == pytest.approx((12.0,))


def test_pixels_without_a_size_are_no_stack_and_one_time_of_a_series_is() -> None:
    viewer = ViewerModel()
    assert stack(viewer, viewer.add_image(VOLUME, name="pixels")) is None
    viewer = ViewerModel()
    series = viewer.add_image(
        np.stack([VOLUME, VOLUME]), scale=(2, 4, 1.2, 1), axis_labels=("time", "I-S", "A-P", "R-L"),
        units=("s", "mm", "mm", "mm"),
    )  # fmt: skip
    viewer.dims.set_current_step(1, 3)
    found = stack_of(series, [shown_slice(series, viewer.dims)])
    assert found is not None and found.places == pytest.approx((12.0,))
    np.testing.assert_array_equal(np.asarray(found.neighbours[0][1]), VOLUME[0])
