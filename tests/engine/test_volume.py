"""Many slices: in order, each with the same settings, and one that fails costs no other."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import torch

from napari_brgm.corruptions import Downsample, Mask
from napari_brgm.engine import volume
from napari_brgm.engine.restore import restore, restore_together
from napari_brgm.engine.volume import Observed, SliceStep, restore_slices, shared_record
from napari_brgm.errors import DeviceError, InputError
from napari_brgm.inference import Step
from napari_brgm.settings import preset

if TYPE_CHECKING:
    from collections.abc import Generator


class Scripted:
    """``restore_together`` of two steps a slice; remembers calls and how each ended."""

    def __init__(self, **faults: BaseException) -> None:
        self.faults = faults  # by the content of the slice: "s0", "s1", ...
        self.calls: list[tuple[list[Any], dict[str, Any]]] = []
        self.ends: list[str] = []

    def __call__(self, slices, prior, **settings) -> Generator[tuple[int, Step], None, list[Any]]:
        self.calls.append(([one.image for one in slices], settings | {"prior": prior}))
        end, results = "closed", []
        try:
            for index, one in enumerate(slices):
                fault = self.faults.get(one.image)
                for i in (1, 2):
                    yield index, Step("map", i, 2, 1.0 / i)
                    if isinstance(fault, DeviceError):
                        end = "failed"
                        raise fault
                    if fault:
                        break
                results.append(fault or f"{one.image} restored")
            end = "done"
            return results
        finally:
            self.ends.append(end)


class AnyPrior:
    def to(self, device: Any) -> AnyPrior:
        return self


PRIOR: Any = AnyPrior()


@pytest.fixture
def scripted(monkeypatch):
    def use(**faults: BaseException) -> Scripted:
        script = Scripted(**faults)
        monkeypatch.setattr(volume, "restore_together", script)
        return script

    return use


def slices(count: int) -> list[Observed]:
    return [Observed(f"s{i}", lambda: Downsample((2, 2)), (1.0 + i, 1.0), None) for i in range(count)]


def run(steps: Generator[SliceStep, None, list[Any]]) -> tuple[list[SliceStep], list[Any]]:
    told = []
    while True:
        try:
            told.append(next(steps))
        except StopIteration as end:
            return told, end.value


def test_slices_come_in_order_with_their_own_pixels_and_the_same_settings(scripted) -> None:
    script = scripted()
    settings: dict[str, Any] = {
        "method": "vi",
        "samples": 5,
        "seed": 3,
        "device": "cpu",
        "settings": None,
        "alignment": "a",
    }
    told, results = run(restore_slices(slices(3), PRIOR, **settings))
    assert results == ["s0 restored", "s1 restored", "s2 restored"]
    assert [(t.number, t.count, t.step.iteration) for t in told] == [(n, 3, i) for n in (1, 2, 3) for i in (1, 2)]
    assert [t.done for t in told] == [1, 2, 3, 4, 5, 6]
    assert [images for images, _ in script.calls] == [["s0"], ["s1"], ["s2"]]
    for _, call in script.calls:
        assert call.items() >= settings.items() and call["prior"] is PRIOR


def test_a_gpu_too_full_for_the_prior_is_left_to_the_run(scripted, monkeypatch) -> None:
    """Which goes to the CPU by itself, or says so: catches a volume that ends before it began."""
    script = scripted()
    full = AnyPrior()

    def to(device: Any) -> None:
        raise torch.cuda.OutOfMemoryError("CUDA out of memory")

    monkeypatch.setattr(full, "to", to)
    assert len(run(restore_slices(slices(2), full))[1]) == 2  # type: ignore[arg-type]
    assert all(call["prior"] is full for _, call in script.calls)


def test_a_slice_that_fails_keeps_the_others(scripted) -> None:
    fault = InputError("too little is measured")
    script = scripted(s1=fault)
    told, results = run(restore_slices(slices(3), PRIOR))
    assert results == ["s0 restored", fault, "s2 restored"]
    assert [t.number for t in told] == [1, 1, 2, 3, 3]
    assert script.ends == ["done"] * 3


def test_a_gpu_takes_eight_slices_at_a_time(scripted, monkeypatch) -> None:
    monkeypatch.setattr(volume, "pick_device", lambda device: torch.device("cuda"))
    script = scripted(s9=InputError("too little is measured"))
    told, results = run(restore_slices(slices(11), PRIOR))
    assert [len(images) for images, _ in script.calls] == [8, 3]
    assert [str(result)[:3] for result in results] == [*(f"s{i} " for i in range(9)), "too", "s10"]
    assert [t.number for t in told if t.step.iteration == 1] == list(range(1, 12))
    assert [t.done for t in told][-3:] == [19, 20, 21]  # the failed one stopped a step short


def test_where_all_fail_the_first_reason_is_told(scripted) -> None:
    scripted(s0=InputError("first"), s1=InputError("second"))
    with pytest.raises(InputError, match="first"):
        run(restore_slices(slices(2), PRIOR))


def test_a_device_that_fails_ends_the_run(scripted) -> None:
    """Catches a run that tries thirty slices on a GPU that is gone."""
    script = scripted(s0=DeviceError("no GPU"))
    with pytest.raises(DeviceError, match="no GPU"):
        run(restore_slices(slices(3), PRIOR))
    assert len(script.calls) == 1


def test_closing_cancels_within_a_step(scripted) -> None:
    script = scripted()
    steps = restore_slices(slices(3), PRIOR)
    for _ in range(3):
        next(steps)
    steps.close()
    assert script.ends == ["done", "closed"] and len(script.calls) == 2


def test_no_slice_is_refused() -> None:
    with pytest.raises(InputError, match="at least one"):
        next(restore_slices([], PRIOR))  # type: ignore[arg-type]


def test_each_slice_is_what_it_would_be_alone(linear_prior, scan, hole, quick) -> None:
    """Catches random numbers that depend on the slices before, and masks that get mixed up."""
    other = np.roll(hole, 3, axis=0)
    observed = [
        Observed(scan, lambda: Mask(hole)),
        Observed(1.5 * scan, lambda: Mask(other), (1.5, 1.5)),
        Observed(np.full_like(scan, np.nan), lambda: Mask(hole)),
    ]
    told, results = run(restore_slices(observed, linear_prior, samples=3, seed=4, device="cpu", settings=quick))
    assert {t.number for t in told} == {1, 2}
    assert told[-1].done == 2 * told[-1].step.total
    alone = restore(
        1.5 * scan, Mask(other), linear_prior, samples=3, seed=4, device="cpu", spacing=(1.5, 1.5), settings=quick
    )
    np.testing.assert_array_equal(results[1].estimate, alone.estimate)
    np.testing.assert_array_equal(results[1].samples, alone.samples)
    np.testing.assert_array_equal(results[0].measured, ~hole)
    assert isinstance(results[2], InputError)  # it holds no number
    shared, rest = shared_record([r.provenance for r in results[:2]])
    assert shared["seed"] == 4 and shared["prior"] == alone.provenance["prior"] and "window" in rest[0]


@pytest.mark.parametrize("optimiser", ["lbfgs", "adam", "gauss-newton"])
@pytest.mark.parametrize("method", ["map", "vi"])
def test_slices_side_by_side_are_what_they_would_be_alone(random_stylegan2, hole, optimiser, method) -> None:
    """Catches rows of one slice that see another's data; and one that cannot be restored but costs the others."""
    size = 32
    images = ((random_stylegan2.sample(3, seed=5) + 1) * 127.5)[:, 0].numpy()
    missing = np.zeros((size, size), dtype=bool)
    missing[: hole.shape[0], : hole.shape[1]] = hole
    observed = [
        Observed(images[0], lambda: Mask(missing)),
        Observed(images[1], lambda: Mask(np.ones((3, 3), dtype=bool))),
        Observed(4 * images[2], lambda: Mask(missing.T)),
    ]
    settings = preset("unaided").but(steps=12, vi_steps=4, optimiser=optimiser, starts=2, vi_samples_per_step=2)
    how: dict[str, Any] = {"method": method, "samples": 3, "seed": 4, "device": "cpu", "settings": settings}
    told, results = run(restore_together(observed, random_stylegan2, **how))
    assert isinstance(results[1], InputError)
    alone = {i: restore(observed[i].image, observed[i].corruption(), random_stylegan2, **how) for i in (0, 2)}
    for i, own in alone.items():
        apart = [float(np.abs(results[i].estimate - one.estimate).mean()) for one in (own, alone[2 - i])]
        assert apart[0] < 0.05 * apart[1]
        assert results[i].trace[0]["loss"] == pytest.approx(own.trace[0]["loss"], rel=1e-4)
        assert [step.iteration for index, step in told if index == i] == list(range(1, told[-1][1].total + 1))
    first = [index for index, step in told if step.phase == "map"]
    assert first == ([0, 2] * 12 if optimiser != "gauss-newton" else [0] * 12 + [2] * 12)


def test_shared_record_parts_without_loss() -> None:
    records = [
        {"seed": 1, "notes": [], "seconds": 2.0, "only": True},
        {"seed": 1, "notes": [], "seconds": 3.0},
        {"seed": 1, "notes": [], "seconds": 2.0, "only": True},
    ]
    shared, rest = shared_record(records)
    assert shared == {"seed": 1, "notes": []}
    assert [shared | one for one in rest] == records
    assert shared_record(records[:1]) == (records[0], [{}])
