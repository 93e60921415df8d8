"""Each piece of advice must come when it is due, and never when it is not."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from napari_brgm.engine.advice import LARGE_SHARE, THICK_HOLE, Circumstances, advice, same_modality, same_plane

SUITS = Circumstances(modality="MR", prior_modality="MR T1", plane="axial", prior_plane="axial")
HEAD = (np.hypot(*(np.indices((64, 64)) - 31.5)) < 24).astype(np.float32)


def square(side: int, size: int = 64) -> np.ndarray:
    missing = np.zeros((size, size), bool)
    start = (size - side) // 2
    missing[start : start + side, start : start + side] = True
    return missing


def test_what_suits_or_is_not_known_says_nothing() -> None:
    assert advice(SUITS, HEAD, square(6)) == []
    assert advice(Circumstances(), HEAD) == []
    assert advice(replace(SUITS, modality="", prior_plane=""), HEAD) == []
    assert advice(replace(SUITS, result_mm=1.0, prior_mm=1.0), HEAD) == []
    assert advice(replace(SUITS, result_mm=0.3), HEAD) == []
    assert advice(replace(SUITS, shown_mm=120.0, frame_mm=192.0), HEAD) == []


@pytest.mark.parametrize(
    ("change", "part"),
    [
        ({"modality": "CT"}, "the scan is CT and the prior knows MR T1: what it adds is made up"),
        ({"plane": "sagittal"}, "the slice is sagittal and the prior knows axial slices"),
        ({"orientation_fault": "the slice is shown mirrored"}, "mirrored; the prior knows anatomy the usual way up"),
        ({"spacing_known": False}, "the pixel size is not known"),
        ({"shown_mm": 20.0, "frame_mm": 256.0}, "the slice shows 20 mm and the prior knows 256 mm"),
        ({"result_mm": 0.335, "prior_mm": 1.0}, "the prior knows pixels of 1 mm: what it adds to pixels of 0.34 mm"),
    ],
)
def test_one_thing_that_does_not_suit(change: dict, part: str) -> None:
    (sentence,) = advice(replace(SUITS, **change), HEAD)
    assert part in sentence
    assert advice(replace(SUITS, **change, untrained=True), HEAD) == []  # it knows no anatomy


def test_the_gravest_comes_first() -> None:
    bad = replace(SUITS, modality="CT", plane="coronal", spacing_known=False, orientation_fault="upside down")
    found = advice(bad, HEAD, square(44))
    assert [sentence.split()[1] for sentence in found] == ["scan", "slice", "pixel", "mask"]


def test_a_prior_of_whole_images_needs_no_pixel_size() -> None:
    assert advice(replace(SUITS, spacing_known=False, needs_spacing=False), HEAD) == []


@pytest.mark.parametrize(("side", "said"), [(20, False), (32, True), (44, True)])
def test_a_mask_over_much_of_the_anatomy(side: int, said: bool) -> None:
    """Catches a share of the image instead of the anatomy: 32 of 64 pixels are a quarter of the one."""
    found = advice(SUITS, HEAD, square(side))
    assert bool(found) == said
    assert all("most of the result is a guess" in sentence for sentence in found)
    assert (side / 48) ** 2 > LARGE_SHARE or not said


@pytest.mark.parametrize("turns", range(4))
@pytest.mark.parametrize(("lines", "said"), [(14, False), (32, True), (46, True)])
def test_a_mask_that_reaches_from_one_end(turns: int, lines: int, said: bool) -> None:
    """Catches the anatomy's box of what was measured alone, in which half a head is a whole one."""
    missing = np.zeros((64, 64), bool)
    missing[:lines] = True
    assert bool(advice(SUITS, np.rot90(HEAD, turns), np.rot90(missing, turns))) == said


@pytest.mark.parametrize("turns", range(4))
@pytest.mark.parametrize("into", [0, 1, 8])
def test_a_mask_over_the_air_beside_the_anatomy(turns: int, into: int) -> None:
    """Catches air that counts as anatomy since the mask goes on over it, however wide the field of view is."""
    image, missing = np.pad(HEAD, 60), np.zeros((184, 184), bool)
    missing[: 68 + into] = True  # the head begins at line 68
    assert advice(SUITS, np.rot90(image, turns), np.rot90(missing, turns)) == []


def test_a_mask_that_leaves_a_corner() -> None:
    missing = np.ones((64, 64), bool)
    missing[:8, :8] = False
    specks = HEAD + 0.01 * np.random.default_rng(0).random(HEAD.shape)
    (sentence,) = advice(SUITS, specks, missing)
    assert "nothing is seen of the anatomy" in sentence


def test_a_mask_beside_the_anatomy_hides_none() -> None:
    beside = np.zeros((64, 64), bool)
    beside[:6] = True
    assert advice(SUITS, HEAD, beside) == []


@pytest.mark.parametrize("content", [np.nan, np.inf, 1e9])
def test_what_is_hidden_has_no_say(content: float) -> None:
    """Catches an artefact that moves the anatomy's box, or a warning of numpy's."""
    image = HEAD.copy()
    image[square(20)] = content
    assert advice(SUITS, image, square(20)) == []


def test_masks_that_leave_nothing() -> None:
    assert advice(SUITS, HEAD, np.zeros((64, 64), bool)) == []
    assert advice(SUITS, HEAD, np.ones((64, 64), bool)) == []  # the run itself refuses
    spoilt = HEAD.copy()
    spoilt[0, 0] = np.nan
    assert advice(SUITS, spoilt, square(20)) == []


def test_thick_holes_for_an_untrained_network() -> None:
    """A long scratch is not thick, whatever its area; a hole at the border is no thinner for lying there."""
    untrained = Circumstances(untrained=True)
    scratch = np.zeros((64, 64), bool)
    scratch[20:26] = True
    assert advice(untrained, HEAD, scratch) == []
    corner = np.zeros((64, 64), bool)
    corner[: THICK_HOLE + 4, : THICK_HOLE + 4] = True
    (sentence,) = advice(untrained, HEAD, corner)
    assert f"{THICK_HOLE + 4} pixels thick" in sentence
    assert advice(SUITS, HEAD, corner) == []


@pytest.mark.parametrize(
    ("scan", "prior", "same"),
    [
        ("MR", "MR T1", True),
        ("mr", "MR T1", True),
        ("CT", "MR T1", False),
        ("DX", "CR", True),
        ("XR", "RF", True),
        ("MG", "CR", False),
    ],
)
def test_same_modality(scan: str, prior: str, same: bool) -> None:
    assert same_modality(scan, prior) == same


def test_same_plane() -> None:
    assert same_plane("coronal", "frontal") and same_plane("frontal", "coronal") and same_plane("axial", "axial")
    assert not same_plane("axial", "frontal")
