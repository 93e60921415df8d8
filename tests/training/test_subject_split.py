"""Nobody is on two sides of a split."""

from __future__ import annotations

import numpy as np
import pytest

from napari_brgm.datasets import Framing, SliceSet
from napari_brgm.training.subject_split import merged_copies, split_subjects


def _slices(subjects, each=3):
    images = np.random.default_rng(0).integers(0, 255, (subjects * each, 1, 8, 8)).astype(np.uint8)
    names = tuple(f"{i}" for i in range(len(images)))
    return SliceSet(images, np.arange(len(images)) // each, names, tuple(f"s{i}" for i in range(subjects)), Framing(8))


@pytest.mark.parametrize(("subjects", "calibration", "test"), [(40, 10, 6), (100, 20, 12), (614, 60, 40)])
def test_subjects_are_parted(subjects, calibration, test):
    split = split_subjects(_slices(subjects), seed=5)
    names = [set(part.subject_names) for part in split.parts().values()]
    assert [len(own) for own in names] == [subjects - calibration - test, calibration, test]
    assert len(set.union(*names)) == subjects
    assert sum(len(part) for part in split.parts().values()) == 3 * subjects
    assert split.describe()["calibration"] == {"subjects": calibration, "slices": 3 * calibration}
    again, other = (split_subjects(_slices(subjects), seed=seed) for seed in (5, 6))
    assert again.test.subject_names == split.test.subject_names != other.test.subject_names


def test_few_subjects_are_all_trained_on():
    split = split_subjects(_slices(39))
    assert list(split.parts()) == ["training"] and len(split.training) == 117


def test_a_person_under_two_names_is_one():
    slices = _slices(5)
    images = slices.images.copy()
    images[4], images[14] = images[0], images[5]  # of 1 and 0; of 4 and 1: all three are one
    same = SliceSet(images, slices.subjects, slices.names, slices.subject_names, slices.framing)
    found, fewer = merged_copies(same)
    assert fewer == 2 and found.subject_names == ("s0", "s2", "s3")
    assert found.subjects.tolist() == [0, 0, 0, 0, 0, 0, 1, 1, 1, 2, 2, 2, 0, 0, 0]
    assert merged_copies(slices) == (slices, 0)
