"""SliceSet: a subject on both sides of a split would make every held-out figure a lie."""

import json

import numpy as np
import pytest

from napari_brgm.datasets import Framing, SliceSet
from napari_brgm.errors import InputError


def make(subjects, dtype=np.uint8):
    subjects = np.array(subjects)
    images = np.zeros((len(subjects), 1, 8, 8), dtype)
    images[:, 0, 0, 0] = np.arange(len(subjects))
    names = tuple(f"{s}/{i}" for i, s in enumerate(subjects))
    return SliceSet(images, subjects, names, tuple(f"s{i}" for i in range(subjects.max() + 1)), Framing(8, 1.0))


def test_a_split_parts_subjects_and_loses_nothing():
    whole = make(np.repeat(np.arange(10), 5))
    training, held = whole.split(0.2, seed=3)
    assert len(held.subject_names) == 2
    assert not set(training.subject_names) & set(held.subject_names)
    assert sorted(training.names + held.names) == sorted(whole.names)
    for part in (training, held):
        assert part.subjects.min() == 0
        assert part.subjects.max() == len(part.subject_names) - 1
        for i, name in enumerate(part.names):
            assert part.subject_names[part.subjects[i]] == f"s{name.split('/')[0]}"
            assert part.images[i, 0, 0, 0] == int(name.split("/")[1])
    assert whole.split(0.2, seed=3)[1].names == held.names
    assert any(whole.split(0.2, seed=s)[1].names != held.names for s in range(4))


def test_at_least_one_and_never_all_are_held_out():
    whole = make(np.repeat(np.arange(3), 20))
    assert [len(part.subject_names) for part in whole.split(0.01)] == [2, 1]
    assert [len(part.subject_names) for part in whole.split(0.99)] == [1, 2]


def test_white_and_description():
    assert make([0, 1]).white == 255
    assert make([0, 1], np.uint16).white == 65535
    described = json.loads(json.dumps(make([0, 0, 1]).describe()))
    assert (described["slices"], described["subjects"], described["spacing_mm"]) == (3, 2, 1.0)


def test_stacks_are_in_grey_levels_whatever_the_bits():
    images = np.zeros((3, 1, 8, 8), np.uint16)
    images[1:] = 65535
    found = SliceSet(images, np.array([0, 0, 2]), ("a", "b", "c"), ("s", "none", "t"), Framing(8)).stacks()
    assert [stack.shape for stack in found] == [(2, 8, 8), (1, 8, 8)]
    np.testing.assert_allclose([stack.max() for stack in found], 255, rtol=1e-6)
    colour = SliceSet(np.zeros((1, 3, 8, 8), np.uint8), np.array([0]), ("a",), ("a",), Framing(8))
    with pytest.raises(InputError, match="in colour"):
        colour.stacks()


def test_refusals():
    whole = make(np.repeat(np.arange(4), 5))
    for share in (0.0, 1.0, -1.0, float("nan")):
        with pytest.raises(InputError, match="between 0 and 1"):
            whole.split(share)
    with pytest.raises(InputError, match="of 1 subject; give"):
        make([0] * 40).split(0.5)
    with pytest.raises(InputError, match="too few"):
        whole.split(0.5)
    with pytest.raises(InputError, match="uint8 or uint16"):
        make([0], np.float32)
    with pytest.raises(InputError, match="must be"):
        SliceSet(np.zeros((1, 2, 8, 8), np.uint8), np.array([0]), ("a",), ("a",), Framing(8))
    with pytest.raises(InputError, match="1 slices have 2 subjects"):
        SliceSet(np.zeros((1, 1, 8, 8), np.uint8), np.array([0, 0]), ("a",), ("a",), Framing(8))
    with pytest.raises(InputError, match="none of the 1 subjects"):
        SliceSet(np.zeros((1, 1, 8, 8), np.uint8), np.array([1]), ("a",), ("a",), Framing(8))
