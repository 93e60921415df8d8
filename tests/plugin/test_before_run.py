"""What layers say about a run must reach the engine's advice, and many slices must not say it many times."""

from __future__ import annotations

import numpy as np
import pytest
from napari.components import ViewerModel

from napari_brgm.plugin.before_run import advice_for
from napari_brgm.plugin.job import Piece
from napari_brgm.plugin.layers import shown_slice
from napari_brgm.plugin.prior_panel import UNTRAINED
from napari_brgm.zoo.entry import Kind, PriorEntry

BRAIN = PriorEntry("head", Kind.shipped, modality="MR T1", plane="axial", resolution=128)
CHEST = PriorEntry("chest", Kind.shipped, modality="CR", plane="frontal", resolution=256)
DISC = np.hypot(*(np.indices((32, 32)) - 15.5)) < 12


def parts(missing: list[np.ndarray], modality: str = "MR", **place):
    viewer = ViewerModel()
    settings = {"units": "mm", "axis_labels": ("I-S", "A-P", "R-L")} | place
    image = viewer.add_image(
        np.stack([DISC] * 3).astype(np.float32), metadata={"scan": {"modality": modality}}, **settings
    )
    shown = shown_slice(image, viewer.dims)
    return image, [(shown, Piece(shown.image, shown.spacing, missing=one)) for one in missing]


SMALL = np.zeros((32, 32), bool)
SMALL[14:18, 14:18] = True


def test_a_slice_that_suits_says_nothing() -> None:
    assert advice_for(*parts([SMALL]), BRAIN, "head") == []


@pytest.mark.parametrize(
    ("given", "entry", "part"),
    [
        ({"modality": "CT"}, BRAIN, "the scan is CT and the prior knows MR T1"),
        ({"scale": (1, -1, 1)}, BRAIN, "shown upside down"),
        ({"axis_labels": ("A-P", "S-I", "R-L")}, BRAIN, "the slice is coronal"),
        ({"units": "pixel"}, BRAIN, "the pixel size is not known"),
    ],
)
def test_what_the_layer_says_is_heard(given: dict, entry: PriorEntry, part: str) -> None:
    (sentence,) = advice_for(*parts([SMALL], **given), entry, entry.name)
    assert part in sentence


def test_radiographs_need_no_pixel_size() -> None:
    image, many = parts([SMALL], "DX", axis_labels=("A-P", "S-I", "R-L"), units="pixel")
    assert advice_for(image, many, CHEST, "chest") == []


def test_a_prior_that_is_not_in_the_registry() -> None:
    assert advice_for(*parts([SMALL], "CT", units="pixel"), None, "/a/file.safetensors") == []


def test_many_slices_say_each_once_with_the_worst_number() -> None:
    """Catches a line for each of thirty slices, and the mildest one of them."""
    masks = []
    for side in (8, 10, 9):
        mask = np.zeros((32, 32), bool)
        mask[16 - side : 16 + side, 16 - side : 16 + side] = True
        masks.append(mask)
    image, many = parts(masks)
    alone = [advice_for(image, [one], BRAIN, "head")[0] for one in many]
    assert len(set(alone)) == 3
    assert advice_for(image, many, BRAIN, "head") == [alone[1]]
    untrained = advice_for(image, many, None, UNTRAINED)
    assert len(untrained) == 2 and "20 pixels thick" in untrained[1]
