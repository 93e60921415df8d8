"""How far along a window is: by what its stages took where they were measured, on a clock that is told the time."""

from __future__ import annotations

from itertools import pairwise

import pytest

from napari_brgm.engine.course import Course

# seconds of one core, brain-axial-128, 20 slices of which 12 are restored, with one mask, 8 steps; stage, questions,
# seconds
MEASURED = {
    8: [("placing", 290, 3.5), ("map", 8, 2.5), ("best", 62, 3.8), ("latents", 69, 1.4), ("images", 8, 0.9),
        ("fields", 88, 4.1), ("results", 12, 1.1)],
    24: [("placing", 290, 3.7), ("map", 8, 2.5), ("best", 62, 4.0), ("latents", 71, 2.9), ("images", 24, 2.7),
         ("fields", 220, 13.9), ("results", 12, 1.2)],
}  # fmt: skip


def walked(draws: int) -> list[tuple[float, float]]:
    """Seconds and share after each question, in the order in which a window asks them."""
    course, clock, told = Course(20, 12, 8, draws, masks=2), 0.0, []
    for stage, times, seconds in MEASURED[draws]:
        course.begin(stage, batches={8: 2, 24: 5}[draws] if stage == "fields" else 1)
        for i in range(times):
            clock += seconds / times
            if stage in ("map", "images", "results"):
                course.reach((i + 1) / times)
            else:
                course.ask()
            told.append((clock, course.share))
    return told


@pytest.mark.parametrize("draws", [8, 24])
def test_time_left_after_a_tenth(draws: int) -> None:
    """Catches stages that weigh as much as their steps are many: drawing was one step of eleven, and half the time."""
    told = walked(draws)
    whole = told[-1][0]
    assert all(a[1] <= b[1] for a, b in pairwise(told)) and told[-1][1] > 0.95
    for clock, share in told:
        if 0.1 * whole < clock < 0.9 * whole:
            assert 1 / 1.5 < clock * (1 / share - 1) / (whole - clock) < 1.5, (clock, share)


@pytest.mark.parametrize("draws", [8, 24])
def test_cost_of_a_window(draws: int) -> None:
    """In steps of 0.14 s."""
    assert 0.14 * Course(20, 12, 8, draws, masks=2).cost == pytest.approx(sum(s for *_, s in MEASURED[draws]), rel=0.2)
    assert Course(16, 12, 8, 0).cost < Course(16, 12, 8, 2).cost < Course(16, 12, 8, 2, masks=20).cost


def test_masks_that_differ_take_a_posterior_each() -> None:
    """Catches a time left that rises from 20 to 80 s while slices with masks of their own are placed."""
    course = Course(14, 6, 8, 8)
    course.count_masks(7)
    shares = []
    for _ in range(1002):
        course.ask()
        shares.append(course.share)
    last = shares[-1]
    assert 0.9 < last * course.cost / (0.5 * 14 + 5.7 * 7) < 1.01  # nearly all of placing
    assert all(abs(share - last * (i + 1) / 1002) < 0.02 for i, share in enumerate(shares))
    course.count_masks(2)
    assert course.share >= last  # never back


def test_a_stage_never_comes_again_and_never_seems_done() -> None:
    """The last step of MAP is told again while samples are drawn; kriging may take longer than is usual."""
    course = Course(16, 12, 8, 8)
    course.begin("best")
    before = course.share
    course.begin("map")
    course.reach(0.1, stage="map")
    assert course.share == before
    course.begin("fields")
    for _ in range(5000):
        course.ask()
    assert 0.9 < course.share < 1
