"""Parts of a job: each comes out by itself as it does with all others."""

from __future__ import annotations

from functools import partial

import numpy as np
import pytest

from napari_brgm.corruptions import Mask
from napari_brgm.engine import run_stack
from napari_brgm.engine.job import Job, ObservedSlice, Stack
from napari_brgm.engine.run import parts_of, run
from napari_brgm.errors import InputError
from napari_brgm.settings import preset

PLAIN = preset("default").but(fit_pose=False, steps=2)
MM = (1.5, 1.5)


@pytest.fixture(scope="module")
def job_of(stack_prior, stack_of):
    """``job_of(apart)``: holes in slices 2, 3 and 30 to 59 of 62, and without ``stack`` each slice by itself."""

    def make(*, stack: bool = True, spoilt: tuple[int, ...] = ()) -> Job:
        volume = stack_of(62, seed=9)
        hidden = [2, 3, *range(30, 60)] if stack else [2, 3, 30]
        hole = np.zeros((24, 24), dtype=bool)
        hole[8:15, 9:16] = True
        slices = tuple(
            ObservedSlice(volume[i], partial(Mask, hole if i not in spoilt else hole[:5]), MM) for i in hidden
        )
        near = Stack(
            tuple(float(i) for i in hidden),
            tuple((float(i), volume[i]) for i in range(62) if i not in hidden),
        )  # fmt: skip
        return Job(slices, stack_prior, PLAIN, samples=3, seed=4, device="cpu", stack=near if stack else None)

    return make


@pytest.mark.parametrize("stack", [True, False])
def test_parts_come_out_as_with_all_others(job_of, stack):
    """Catches seeds, poses and windows that depend on what else is restored in the same process."""
    job = job_of(stack=stack)
    parts, whole = parts_of(job), run(job)
    assert sorted(number for part in parts for number in part) == list(range(job.count))
    assert [len(part) for part in parts] == ([2, 30] if stack else [1, 1, 1])
    for part in reversed(parts):
        steps = []
        for number, found in zip(part, run(job, steps.append, only=part), strict=True):
            np.testing.assert_array_equal(found.estimate, whole[number].estimate)
            np.testing.assert_array_equal(found.samples, whole[number].samples)
            np.testing.assert_array_equal(found.variance, whole[number].variance)
        assert steps[-1].done == pytest.approx(1.0)


def test_windows_of_other_parts_are_left_out(job_of, monkeypatch):
    job, made = job_of(), []
    own = run_stack.StackedRestoring

    def counted(layout, part, *rest, **more):
        made.append(part.slices)
        return own(layout, part, *rest, **more)

    monkeypatch.setattr(run_stack, "StackedRestoring", counted)
    run(job, only=(0, 1))
    assert len(made) == 1 and max(made[0]) < 10


def test_a_part_that_cannot_be_restored_says_why(job_of):
    job = job_of(stack=False, spoilt=(3,))
    with pytest.raises(InputError, match="mask") as raised:
        run(job, only=(1,))
    assert raised.value.number == 1
    assert run(job, only=(0,))[0].estimate.shape == (24, 24)
