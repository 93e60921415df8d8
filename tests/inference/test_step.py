"""Steps are numbered and told; between them somebody is asked again whether to go on."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from napari_brgm.errors import Cancelled
from napari_brgm.inference import Progress, step

IMAGES = torch.zeros(1, 1, 2, 2)


@pytest.fixture
def clock(monkeypatch):
    """``clock(seconds)`` lets time pass."""
    now = [100.0]
    monkeypatch.setattr(step.time, "monotonic", lambda: now[0])

    def wait(seconds: float) -> None:
        now[0] += seconds

    return wait


def test_steps_are_numbered_and_kept():
    told = []
    progress = Progress(told.append, total=3)
    progress.step("map", 5.0, {"w": 2.0, "pixel": 3.0}, IMAGES)
    progress.step("laplace")
    progress.step("samples")
    assert [(s.phase, s.iteration, s.total) for s in told] == [("map", 1, 3), ("laplace", 2, 3), ("samples", 3, 3)]
    assert told[0].terms == {"w": 2.0, "pixel": 3.0} and math.isnan(told[1].loss)
    assert progress.trace == [{"phase": "map", "iteration": 1, "loss": 5.0, "w": 2.0, "pixel": 3.0}]
    progress.step("samples")
    assert told[-1].total == 4 and progress.count == 4  # more than was said: the number of the step itself


def test_a_number_is_skipped_where_an_inference_stopped_early():
    told = []
    progress = Progress(told.append, total=9)
    progress.step("map")
    progress.skip(5)
    progress.skip(2)  # never back
    progress.step("samples")
    assert [s.iteration for s in told] == [1, 6]


def test_previews_are_made_of_the_images_of_a_step():
    told, asked = [], []

    def preview(number, images):
        asked.append(number)
        return [images[0, 0].numpy()] if number == 2 else []

    progress = Progress(told.append, preview=preview)
    for images in (IMAGES, IMAGES + 1, None):
        progress.step("map", 0.0, None, images)
    assert asked == [1, 2] and [s.preview is None for s in told] == [True, False, True]
    np.testing.assert_array_equal(told[1].preview, np.ones((2, 2)))


def test_the_last_step_is_told_again_while_nothing_comes(clock):
    """Four times a second, so that a person who cancels is heard; before the first step too."""
    told = []
    progress = Progress(told.append, total=2)
    for _ in range(10):  # a second, with ten checks
        clock(0.1)
        progress.check()
    assert [(s.phase, s.iteration) for s in told] == [("placing", 0)] * 3
    progress.step("map", 1.0, None, IMAGES)
    clock(0.2)
    progress.check()
    assert len(told) == 4
    clock(0.2)
    progress.check()
    assert len(told) == 5 and told[4] is told[3]
    assert len(progress.trace) == 1


def test_what_the_told_to_raises_ends_the_work(clock):
    def cancel(_: step.Step) -> None:
        raise Cancelled("enough")

    progress = Progress(cancel)
    progress.check()  # nobody has waited yet
    clock(0.3)
    for work in (progress.check, lambda: progress.step("map")):
        with pytest.raises(Cancelled):
            work()


def test_nobody_needs_to_listen(clock):
    progress = Progress()
    progress.step("map", 1.0, None, IMAGES)
    clock(9)
    progress.check()
    assert progress.count == 1
