"""What does not fit into memory is refused before it starts, in a sentence that says what would fit."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from napari_brgm.corruptions import Downsample, Mask
from napari_brgm.engine import need as module
from napari_brgm.engine.job import Job, ObservedSlice
from napari_brgm.engine.need import Need, TooLarge, free_memory
from napari_brgm.engine.observed import observe
from napari_brgm.engine.restore import restore
from napari_brgm.engine.run import run
from napari_brgm.errors import InputError

GB = 1_000_000_000
RADIOGRAPH = Need((4096, 4096), 400_000, 32, GB // 2)
FINER = Need((2048, 2048), 2048**2, 32, GB // 2)


@pytest.fixture
def free(monkeypatch):
    """Sets what is free."""

    def set_to(count: float) -> None:
        monkeypatch.setattr(module, "free_memory", lambda: int(count))

    return set_to


def test_measured_pixels_take_no_draws():
    """Catches a radiograph with two strokes that is refused as though all of it were drawn."""
    assert RADIOGRAPH.memory < 1.9 * GB
    assert replace(RADIOGRAPH, drawn=4096**2).memory > 3 * GB


def test_a_slice_that_fits_and_one_that_does_not(free):
    free(FINER.memory)
    FINER.check()
    free(FINER.memory - 1)
    with pytest.raises(TooLarge, match=r"2048 x 2048 pixels with 32 samples takes about 2\.0 GB.*at most 31 samples"):
        FINER.check()
    free(GB // 2)
    with pytest.raises(TooLarge, match=r"0\.5 GB are free; choose a part of the image"):
        FINER.check()


def test_of_many_slices_the_results_count(free):
    volume = replace(FINER, slices=100)
    without = replace(volume, with_samples=False)
    assert volume.memory - FINER.memory > 99 * 32 * 4 * 2048**2 > without.memory
    free(6 * GB)
    with pytest.raises(TooLarge, match=r"100 slices of 2048 x 2048 .* choose fewer slices \(up to \d at once") as found:
        volume.check()
    fitting = int(str(found.value).split("up to ")[1][0])
    replace(volume, slices=fitting).check()
    with pytest.raises(TooLarge):
        replace(volume, slices=fitting + 1).check()


@pytest.mark.parametrize(("corruption", "drawn"), [("mask", 63), ("x2", 48 * 48)])
def test_need_of_a_problem(linear_prior, scan, hole, corruption, drawn):
    f = Mask(hole[7:14, 9:17].any() * hole) if corruption == "mask" else Downsample(2)
    problem = observe(scan, f, linear_prior)
    cpu, gpu = (Need.of(problem, 9, 24, 8, torch.device(name), 3, with_samples=True) for name in ("cpu", "meta"))
    assert cpu.drawn == (int(hole.sum()) if corruption == "mask" else drawn) and cpu.slices == 3
    assert cpu.network > gpu.network == 0


def test_nothing_of_a_volume_is_begun_that_cannot_be_ended(linear_prior, scan, hole, quick, free):
    """One slice would fit: catches a run that is refused after an hour."""
    slices = tuple(ObservedSlice(scan, lambda: Mask(hole)) for _ in range(40))
    job = Job(slices, linear_prior, quick, samples=4)
    one = Need.of(observe(scan, Mask(hole), linear_prior), 4, 24, 8, torch.device("cpu"), 1, with_samples=True)
    free(one.memory * 1.001)
    steps = []
    with pytest.raises(InputError, match="40 slices of 24 x 24"):
        run(job, steps.append)
    assert not [step for step in steps if step.iteration]


def test_a_slice_that_no_longer_fits_costs_no_other(linear_prior, scan, hole, quick, monkeypatch):
    """Other programs took the memory meanwhile."""
    calls = iter([100 * GB, 0, 100 * GB])
    monkeypatch.setattr(module, "free_memory", lambda: next(calls))
    job = Job(tuple(ObservedSlice(scan, lambda: Mask(hole)) for _ in range(3)), linear_prior, quick, samples=4)
    first, second, third = run(job)
    assert isinstance(second, TooLarge) and "close other programs" in str(second)
    np.testing.assert_array_equal(first.estimate, third.estimate)


def test_the_api_says_it(linear_prior, scan, hole, quick, free):
    free(1000)
    with pytest.raises(InputError, match="24 x 24 pixels with 32 samples takes about"):
        restore(scan, Mask(hole), linear_prior, settings=quick)


def test_a_container_has_less_than_the_machine(monkeypatch, tmp_path):
    """And what it holds of files is free: catches refusals after a large file was read."""
    monkeypatch.setattr(module, "_GROUP", tmp_path)
    machine = free_memory()
    assert machine > 0
    for name, text in (("max", "4000000000"), ("current", "3500000000"), ("stat", "anon 1\ninactive_file 1500000000")):
        (tmp_path / f"memory.{name}").write_text(text + "\n")
    assert free_memory() == min(machine, 2 * GB - module._SPARE) or machine < 2 * GB
    (tmp_path / "memory.max").write_text("max\n")
    assert free_memory() > 0.5 * machine


def test_a_first_slice_that_cannot_be_restored_hides_nothing(linear_prior, scan, hole, quick, free):
    """Empty slices at the ends of a volume are usual: catches a need that is then asked of single slices only."""
    good = ObservedSlice(scan, lambda: Mask(hole))
    job = Job((ObservedSlice(np.zeros_like(scan), lambda: Mask(hole)), *[good] * 40), linear_prior, quick, samples=4)
    one = Need.of(observe(scan, Mask(hole), linear_prior), 4, 24, 8, torch.device("cpu"), 1, with_samples=True)
    free(one.memory * 1.001)
    with pytest.raises(InputError, match="40 slices of 24 x 24"):
        run(job)


def test_fewer_samples_are_advised_where_they_help(free):
    """Catches advice that was followed in vain: results without samples do not shrink with them."""
    many = Need((512, 512), 512**2, 32, GB // 2, slices=2000, with_samples=False)
    free(2.5 * GB)
    with pytest.raises(TooLarge, match=r"at once would fit\)$"):
        many.check()
    with pytest.raises(TooLarge, match=r"at once would fit\), or fewer samples$"):
        replace(many, slices=40, with_samples=True).check()
