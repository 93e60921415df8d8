"""Whole head: a ring of bone is seen, a brain without one is left in peace, and only brain priors ask."""

from __future__ import annotations

import copy
from dataclasses import replace

import numpy as np
import pytest
from scipy.ndimage import distance_transform_edt

from napari_brgm.corruptions import Identity, Mask
from napari_brgm.engine import whole_head
from napari_brgm.engine.checked import checked
from napari_brgm.engine.placed import placed
from napari_brgm.engine.whole_head import dip_below_skin, knows_brains
from napari_brgm.scans.mni152 import mni152_slab

MM = (1.0, 1.0)


@pytest.fixture(scope="module")
def brain() -> np.ndarray:
    return mni152_slab(8, 8).slice("axial", 0).image


@pytest.fixture(scope="module")
def whole(brain) -> np.ndarray:
    """The same brain with 6 mm of bone and 6 mm of skin."""
    far = distance_transform_edt(brain < 0.1)
    return np.where((far > 6) & (far <= 12), 0.6, np.where(far > 0, 0.05 * (far <= 6), brain)).astype(np.float32)


def dip(image, spacing=MM, hidden=None):
    return dip_below_skin(image, spacing, np.ones(image.shape, bool) if hidden is None else ~hidden)


def test_bone_is_seen_and_a_brain_has_none(brain, whole):
    assert dip(brain) > 0.9
    assert dip(whole) < 0.3


def test_a_hole_does_not_look_like_bone_nor_hide_it(brain, whole):
    hidden = np.zeros(brain.shape, bool)
    hidden[20:100, 20:80] = True
    assert dip(np.where(hidden, 0, brain), hidden=hidden) > 0.9
    assert dip(np.where(hidden, np.nan, whole), hidden=hidden) < 0.3


def test_pixels_of_two_millimetres_are_fine_enough(brain, whole):
    for image, bone in ((brain, False), (whole, True)):
        rows, columns = (n // 2 for n in image.shape)
        coarse = image[: 2 * rows, : 2 * columns].reshape(rows, 2, columns, 2).mean(axis=(1, 3))
        assert (dip(coarse, (2.0, 2.0)) < 0.8) == bone


def test_too_little_to_be_seen_is_not_a_number():
    speck = np.zeros((60, 60))
    speck[30:33, 30:33] = 1
    assert np.isnan(dip(speck)) and np.isnan(dip(np.zeros((60, 60))))


def test_only_a_prior_of_brains_asks(linear_prior, whole, monkeypatch):
    """The note tells how to install what is missing, and only then."""

    def notes(modality):
        prior = copy.copy(linear_prior)
        prior.info = replace(prior.info, modality=modality, spacing_mm=9.0)
        return placed(checked(whole, Identity(), prior, MM), prior, pose=False).notes

    monkeypatch.setattr(whole_head, "why_no_strip", lambda: "")
    told = [note for note in notes("MR T1") if "whole head" in note]
    assert len(told) == 1 and "--strip" in told[0] and "pip" not in told[0]
    assert not any("whole head" in note for note in notes("CR"))
    monkeypatch.setattr(whole_head, "why_no_strip", lambda: "it is not here; pip install napari-brgm[strip]")
    assert any("pip install napari-brgm[strip], then strip it" in note for note in notes("MR T1"))


def test_the_brain_prior_says_nothing_of_a_brain(brain_prior, brain):
    hidden = np.zeros(brain.shape, bool)
    hidden[100:130, 60:90] = True
    found = placed(checked(brain, Mask(hidden), brain_prior, MM), brain_prior, pose=False)
    assert knows_brains(brain_prior.info.modality) and not any("whole head" in note for note in found.notes)
