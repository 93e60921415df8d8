"""Cases of held-out slices: measured pixels are the truth's, each method does what it can, none is made twice."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest

from napari_brgm.datasets import Framing
from napari_brgm.errors import InputError
from napari_brgm.evaluation.choosing import make, read_case
from napari_brgm.evaluation.choosing.make import make_cases
from napari_brgm.evaluation.grid.catalogue import Setting


class Held:
    """Eight slices of four subjects."""

    white, subjects = 255, np.arange(8) // 2

    def __init__(self, images: np.ndarray) -> None:
        self.images = images

    def __len__(self) -> int:
        return len(self.images)


@pytest.fixture(scope="module")
def setting(smooth_images, linear_prior, tmp_path_factory) -> Setting:
    slices = Held((smooth_images(8, 32, seed=3).numpy() + 1) * 127.5)
    held = SimpleNamespace(framing=Framing(32), read=lambda data, part: slices)
    return Setting(held, tmp_path_factory.mktemp("data"), tmp_path_factory.mktemp("out"), linear_prior, seed=1)


def test_cases_of_tasks_in_turn(setting, tmp_path, monkeypatch):
    told = []
    make_cases(tmp_path, setting, ("mask-0", "x4"), 4, lambda *step: told.append(step), ("biharmonic", "bicubic"))
    found = [read_case(path) for path in sorted(tmp_path.glob("*.npz"))]
    assert [(case.task, case.methods) for case in found] == [("mask-0", ("biharmonic",)), ("x4", ("bicubic",))] * 2
    assert [case.subject for case in found] == ["0", "1", "2", "3"] and told[-1][:2] == (4, 4)
    hole = found[0].hole
    assert hole.any() and not found[1].hole.any() and found[1].observed.shape == (8, 8)
    np.testing.assert_array_equal(found[0].restored["biharmonic"][~hole], found[0].truth[~hole])
    monkeypatch.setattr(make, "_restored", lambda *_: pytest.fail("made again"))
    make_cases(tmp_path, setting, ("mask-0", "x4"), 4, lambda *_: None, ("biharmonic", "bicubic"))


def test_a_task_that_is_none(setting, tmp_path):
    with pytest.raises(InputError, match=r"tasks must be some of .*, got x5"):
        make_cases(tmp_path, setting, ("x5",), 4, lambda *_: None)
    assert not list(tmp_path.iterdir())
