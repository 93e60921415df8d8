"""A job must say exactly one thing that happened to each slice, and say it to the engine unchanged."""

from __future__ import annotations

import numpy as np
import pytest

from napari_brgm.errors import InputError
from napari_brgm.plugin.job import Piece

IMAGE = np.random.default_rng(0).random((8, 9)).astype(np.float32)
MISSING = IMAGE > 0.5


@pytest.mark.parametrize(
    "given",
    [
        {},
        {"factor": (2, 2), "jpeg_quality": 9},
        {"noise_sigma": 0.0, "factor": (2, 2)},
        {"missing": MISSING, "factor": (2, 2)},
        {"slice_width": 1.0},
    ],
)
def test_a_piece_is_one_task(given: dict) -> None:
    with pytest.raises(InputError, match="one task"):
        Piece(IMAGE, **given)


@pytest.mark.parametrize(
    ("given", "kind"),
    [
        ({"missing": MISSING}, "Mask"),
        ({"factor": (2, 2)}, "Downsample"),
        ({"factor": (4.0, 1.0), "slice_width": 1.2}, "Downsample"),
        ({"jpeg_quality": 9}, "Jpeg"),
        ({"noise_sigma": 0.0}, "Identity"),
    ],
)
def test_a_piece_knows_its_corruption(given: dict, kind: str) -> None:
    assert type(Piece(IMAGE, **given).corruption()).__name__ == kind


def test_the_thickness_of_slices_reaches_the_corruption() -> None:
    """Catches thick slices that are taken for box means: overlapping ones are wider than their distance."""
    plain = Piece(IMAGE, factor=(4.0, 1.0)).corruption()
    thick = Piece(IMAGE, factor=(4.0, 1.0), slice_width=1.5).corruption()
    assert plain.image_shape((8, 9)) == thick.image_shape((8, 9)) == (32, 9)
    assert thick.describe() != plain.describe()
    assert thick.describe() != Piece(IMAGE, factor=(4.0, 1.0), slice_width=1.0).corruption().describe()
