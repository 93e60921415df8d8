"""A work folder says what it is of, and takes nothing else."""

from __future__ import annotations

import json

import numpy as np
import pytest

from napari_brgm.datasets import Framing, SliceSet
from napari_brgm.errors import InputError, OutputError
from napari_brgm.training.work_folder import claim_folder


def _slices(seed=0, dtype=np.uint8):
    images = np.random.default_rng(seed).integers(0, 255, (4, 1, 8, 8)).astype(dtype)
    return SliceSet(images, np.array([0, 0, 1, 1]), ("a", "b", "c", "d"), ("x", "y"), Framing(8))


def test_the_same_again_and_others(tmp_path):
    work = tmp_path / "runs" / "new"
    claim_folder(work, "linear", _slices(), {"widths": ((8, 4),), "seed": 0})
    claim_folder(work, "linear", _slices(), {"widths": ((8, 4),), "seed": 0})
    with pytest.raises(InputError, match="of the recipe 'linear'"):
        claim_folder(work, "gan", _slices(), {})
    for other in (_slices(1), _slices(dtype=np.uint16)):
        with pytest.raises(InputError, match="of other slices"):
            claim_folder(work, "linear", other, {"widths": ((8, 4),), "seed": 0})
    with pytest.raises(InputError, match="of another seed, widths;"):
        claim_folder(work, "linear", _slices(), {"widths": ((8, 6),), "seed": 1})
    assert [p.name for p in work.iterdir()] == ["made-by.json"]


@pytest.mark.parametrize("content", ["", "[]", "{}", json.dumps({"recipe": "linear", "slices": "", "settings": 3})])
def test_a_record_that_says_nothing(tmp_path, content):
    (tmp_path / "made-by.json").write_text(content)
    with pytest.raises(InputError, match="cannot be read"):
        claim_folder(tmp_path, "linear", _slices(), {})


@pytest.mark.parametrize("stage", ["linear.pt", "checkpoint"])
def test_stages_without_a_record(tmp_path, stage):
    (tmp_path / stage).mkdir()
    with pytest.raises(InputError, match="do not say what they are of"):
        claim_folder(tmp_path, "linear", _slices(), {})


def test_a_folder_that_cannot_be_made(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(OutputError, match="choose another"):
        claim_folder(tmp_path / "file" / "work", "linear", _slices(), {})
