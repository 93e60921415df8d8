"""Jobs of many slices: in order, each with the same settings, and one that fails costs no other."""

from __future__ import annotations

import copy
from dataclasses import replace
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import torch

from napari_brgm.corruptions import Downsample, Mask
from napari_brgm.engine import restoring
from napari_brgm.engine import run as module
from napari_brgm.engine.job import Job, ObservedSlice
from napari_brgm.engine.provenance import shared_record
from napari_brgm.engine.restore import restore
from napari_brgm.engine.run import run
from napari_brgm.errors import Cancelled, DeviceError, InputError, OutputError
from napari_brgm.inference import Progress
from napari_brgm.priors.info import PriorInfo
from napari_brgm.settings import preset

if TYPE_CHECKING:
    from collections.abc import Callable

    from napari_brgm.inference import Step

QUICK = preset("default").but(steps=2, vi_steps=None)


class Scripted:
    """``Restoring`` of two steps a slice; remembers calls and how each ended."""

    def __init__(self, **faults: BaseException) -> None:
        self.faults = faults  # by the content of the slice: "s0", "s1", ...; InputError before the first step
        self.calls: list[dict[str, Any]] = []
        self.ends: list[str] = []

    def __call__(
        self, given: ObservedSlice, job: Job, prior: Any, settings: Any, attempt: Any, tell: Callable[[Step], object],
        **held: Any,
    ) -> Scripted.Slice:  # fmt: skip
        self.calls.append({"given": given, "job": job, "prior": prior, "settings": settings, "attempt": attempt})
        if isinstance(fault := self.faults.get(str(given.image)), InputError):
            raise fault
        return Scripted.Slice(self, str(given.image), tell)

    class Slice:
        """On its way."""

        posterior, seeks_maximum = None, False

        def __init__(self, script: Scripted, name: str, tell: Callable[[Step], object]) -> None:
            self.script, self.name, self.progress = script, name, Progress(tell, 2)
            self.generator = torch.Generator()

        def finish(self, maximum: Any = None) -> Any:
            end = "stopped"
            try:
                for i in (1, 2):
                    self.progress.step("map", 1.0 / i)
                    if fault := self.script.faults.get(self.name):
                        raise fault
                end = "done"
                return f"{self.name} restored"
            finally:
                self.script.ends.append(end)


class AnyPrior:
    """A prior that counts where it was moved to."""

    info = PriorInfo("any")
    channels = 1

    def __init__(self, room: bool = True) -> None:
        self.room, self.moves = room, []  # type: ignore[var-annotated]

    def to(self, device: Any) -> AnyPrior:
        self.moves.append(str(device))
        if not self.room and "cpu" not in str(device):
            raise torch.cuda.OutOfMemoryError("CUDA out of memory")
        return self


@pytest.fixture
def scripted(monkeypatch):
    def use(**faults: BaseException) -> Scripted:
        script = Scripted(**faults)
        monkeypatch.setattr(module, "Restoring", script)
        return script

    return use


@pytest.fixture
def a_gpu(monkeypatch) -> None:
    """As far as the run knows; nothing is put there."""
    monkeypatch.setattr(module, "pick_device", lambda name: torch.device("cuda"))


def job(count: int, prior: Any = None, **more: Any) -> Job:
    slices = (ObservedSlice(f"s{i}", lambda: Downsample((2, 2)), (1.0 + i, 1.0), None) for i in range(count))
    return Job(tuple(slices), prior or AnyPrior(), **{"settings": QUICK, "device": "cpu", **more})


def test_slices_come_in_order_with_their_own_pixels_and_the_same_settings(scripted) -> None:
    script = scripted()
    given = job(3, method="vi", samples=5, seed=3)
    told: list[Step] = []
    results = run(given, told.append)
    assert results == ["s0 restored", "s1 restored", "s2 restored"]
    assert [(t.slice, t.slices, t.iteration) for t in told] == [(n, 3, i) for n in (0, 1, 2) for i in (1, 2)]
    assert [t.done for t in told] == pytest.approx([k / 6 for k in range(1, 7)])
    assert [call["given"] for call in script.calls] == list(given.slices)
    for call in script.calls:
        assert call["job"] is given and call["prior"] is given.prior and call["settings"] == QUICK


@pytest.mark.parametrize("gpu", [True, False])
def test_the_prior_moves_once_for_all_slices(scripted, request, gpu) -> None:
    """Catches a generator that is copied to the GPU for each slice of a volume."""
    if gpu:
        request.getfixturevalue("a_gpu")
    scripted()
    prior = AnyPrior()
    assert len(run(job(8, prior))) == len(run(job(20, prior))) - 12 == 8
    assert prior.moves == ["cuda" if gpu else "cpu"] * 2  # once for each job


def test_settings_that_are_not_given_suit_the_prior(scripted) -> None:
    script = scripted()
    prior = AnyPrior()
    prior.info = PriorInfo("any", preset="unaided")
    run(job(1, prior, settings=None))
    assert script.calls[0]["settings"] == preset("unaided")


def test_each_result_is_handed_on_at_once_and_what_is_kept_comes_back(scripted) -> None:
    """Catches a volume whose samples are all in memory before the first one is on disk."""
    scripted(s1=InputError("too little is measured"))
    events: list[Any] = []

    def keep(index: int, result: Any) -> Any:
        events.append((index, result))
        return f"{result}, kept"

    results = run(job(4), lambda step: events.append(step.slice), keep)
    assert events == [0, 0, (0, "s0 restored"), 2, 2, (2, "s2 restored"), 3, 3, (3, "s3 restored")]
    assert [str(one) for one in results] == ["s0 restored, kept", "too little is measured", *(
        f"s{i} restored, kept" for i in (2, 3))]  # fmt: skip


def test_a_disk_that_is_full_ends_the_job(scripted) -> None:
    script = scripted()

    def keep(index: int, result: Any) -> Any:
        raise OutputError("no space left")

    with pytest.raises(OutputError, match="no space left"):
        run(job(3), keep=keep)
    assert len(script.calls) == 1


def test_a_gpu_too_full_for_the_prior_leaves_it_to_the_cpu(scripted, a_gpu) -> None:
    """Or says so: catches a volume that ends before it began."""
    script = scripted()
    assert run(job(2, AnyPrior(room=False), device="auto")) == ["s0 restored", "s1 restored"]
    assert {call["attempt"].device.type for call in script.calls} == {"cpu"}
    assert any("repeated on the CPU" in note for note in script.calls[0]["attempt"].notes)
    with pytest.raises(DeviceError, match="out of memory"):
        run(job(2, AnyPrior(room=False), device="cuda"))


def test_a_slice_that_fails_keeps_the_others(scripted) -> None:
    """And the share that is done reaches 1 all the same."""
    fault = InputError("too little is measured")
    script = scripted(s1=fault)
    told: list[Step] = []
    results = run(job(3), told.append)
    assert results == ["s0 restored", fault, "s2 restored"]
    assert [t.slice for t in told] == [0, 0, 2, 2] and told[-1].done == 1
    assert script.ends == ["done"] * 2


def test_slices_that_a_gpu_restored_are_not_restored_again(scripted, a_gpu) -> None:
    """Catches a full GPU that costs what was finished before it."""
    script = scripted(s2=torch.cuda.OutOfMemoryError("CUDA out of memory"))
    handed: list[int] = []
    with pytest.raises(DeviceError, match="out of memory"):
        run(job(4, device="cuda"), keep=lambda index, result: handed.append(index) or result)
    assert handed == [0, 1] and [str(call["given"].image) for call in script.calls].count("s0") == 1


def test_where_all_fail_the_first_reason_is_told(scripted) -> None:
    scripted(s0=InputError("first"), s1=InputError("second"))
    with pytest.raises(InputError, match="first"):
        run(job(2))


def test_a_device_that_fails_ends_the_run(scripted) -> None:
    """Catches a run that tries thirty slices on a GPU that is gone."""
    script = scripted(s0=DeviceError("no GPU"))
    with pytest.raises(DeviceError, match="no GPU"):
        run(job(3))
    assert len(script.calls) == 1


def test_it_is_cancelled_within_a_step(scripted) -> None:
    script = scripted()

    def tell(step: Step) -> None:
        if (step.slice, step.iteration) == (1, 1):
            raise Cancelled("enough")

    with pytest.raises(Cancelled, match="enough"):
        run(job(3), tell)
    assert script.ends == ["done", "stopped"] and len(script.calls) == 2


def test_no_slice_is_refused() -> None:
    with pytest.raises(InputError, match="at least one"):
        run(job(0))


def test_a_mask_that_cannot_be_made_costs_its_own_slice(linear_prior, scan, hole, quick) -> None:
    slices = (
        ObservedSlice(scan, lambda: Mask(np.zeros((24, 24), dtype=bool))),
        ObservedSlice(scan, lambda: Mask(hole)),
        ObservedSlice(scan[None], lambda: Mask(hole)),
    )
    results = run(Job(slices, linear_prior, quick, samples=2, device="cpu"))
    assert "marks no pixel" in str(results[0]) and "one slice" in str(results[2])
    np.testing.assert_array_equal(results[1].measured, ~hole)


def unreadable() -> Mask:
    raise ValueError("the drawing is empty\nand more of it")


@pytest.mark.parametrize(
    ("bad", "says"),
    [
        ({"corruption": unreadable}, "what happened to the slice cannot be told: the drawing is empty"),
        ({"corruption": lambda: Mask(int("x"))}, "what happened to the slice cannot be told: invalid literal"),
        ({"corruption": lambda: Downsample(700)}, "choose a smaller factor"),
        ({"image": [[1.0, 2.0], [3.0]]}, "the image cannot be read as an array of numbers"),
        ({"image": torch.zeros(24, 24, requires_grad=True)}, "the image cannot be read as an array of numbers"),
        ({"spacing": "ab"}, "spacing must be two pixel sizes in mm"),
        ({"spacing": 1.5}, "spacing must be two pixel sizes in mm"),
        ({"spacing": (1e9, 1e9)}, "give the pixel size in mm"),
        ({"spacing": (1e-9, 1e-9)}, "give the pixel size in mm"),
        ({"noise_sigma": "loud"}, "noise_sigma must be 0 or above"),
        ({"noise_sigma": [1, 2]}, "noise_sigma must be 0 or above"),
    ],
)  # fmt: skip
def test_whatever_is_wrong_with_a_slice_costs_itself_only(linear_prior, scan, hole, quick, bad, says) -> None:
    """One sentence each: catches a volume that ends in a traceback, or in 18 GB, for one odd slice."""
    good = ObservedSlice(scan, lambda: Mask(hole))
    results = run(Job((replace(good, **bad), good), linear_prior, quick, samples=2, device="cpu"))
    assert isinstance(results[0], InputError) and says in str(results[0]) and "\n" not in str(results[0])
    np.testing.assert_array_equal(results[1].measured, ~hole)


@pytest.mark.parametrize(
    "error",
    [
        InputError("not of the slice"), RuntimeError("not enough memory for my list"), MemoryError("mine"),
        torch.cuda.OutOfMemoryError("mine too"), Cancelled("enough"), KeyboardInterrupt(),
    ],
    ids=lambda error: type(error).__name__,
)  # fmt: skip
@pytest.mark.parametrize("where", ["preparation", "steps", "keep"])
def test_what_the_caller_raises_is_no_fault_of_a_slice(
    linear_prior, scan, hole, quick, monkeypatch, where, error
) -> None:
    """Whenever it is called: nor of the device, so that nothing is tried again."""
    asked = []

    def fail(*given: Any) -> Any:
        asked.append(given)
        raise error

    if where == "preparation":
        monkeypatch.setattr(
            restoring, "observe", lambda *given, check, **more: Progress.step(check.__self__, "placing")
        )
    slices = [ObservedSlice(scan, lambda: Mask(hole))] * 2
    callers = (None, fail) if where == "keep" else (fail, None)
    with pytest.raises(type(error)) as caught:
        run(Job(tuple(slices), linear_prior, quick, samples=2, device="auto"), *callers)
    assert caught.value is error and len(asked) == 1


def test_work_that_needs_too_much_memory_is_said(scripted) -> None:
    for error in (MemoryError("Unable to allocate 1 TiB"), RuntimeError("[enforce fail at alloc_cpu.cpp:127]")):
        scripted(s0=error)
        with pytest.raises(DeviceError, match="not enough memory for this run"):
            run(job(2))


def test_each_slice_is_what_it_would_be_alone(linear_prior, scan, hole, quick) -> None:
    """Catches random numbers that depend on the slices before, and masks that get mixed up."""
    other = np.roll(hole, 3, axis=0)
    slices = (
        ObservedSlice(scan, lambda: Mask(hole)),
        ObservedSlice(1.5 * scan, lambda: Mask(other), (1.5, 1.5)),
        ObservedSlice(np.full_like(scan, np.nan), lambda: Mask(hole)),
    )
    told: list[Step] = []
    results = run(Job(slices, linear_prior, quick, samples=3, seed=4, device="cpu"), told.append)
    assert {t.slice for t in told} == {0, 1} and {t.slices for t in told} == {3}
    assert all(b.done >= a.done for a, b in pairwise(told))
    alone = restore(
        1.5 * scan, Mask(other), linear_prior, samples=3, seed=4, device="cpu", spacing=(1.5, 1.5), settings=quick
    )
    np.testing.assert_array_equal(results[1].estimate, alone.estimate)
    np.testing.assert_array_equal(results[1].samples, alone.samples)
    np.testing.assert_array_equal(results[0].measured, ~hole)
    assert isinstance(results[2], InputError)  # it holds no number
    shared, rest = shared_record([r.provenance for r in results[:2]])
    assert shared["seed"] == 4 and shared["prior"] == alone.provenance["prior"] and "window" in rest[0]


def resident(prior: Any) -> Any:
    """The prior, as if it were on any device."""
    found = copy.copy(prior)
    found.to = lambda device: found
    return found


def three_slices(prior: Any, hole: Any) -> tuple[ObservedSlice, ...]:
    """Of 32 px, the middle one with a mask that does not fit."""
    images = ((prior.sample(3, seed=5) + 1) * 127.5)[:, 0].numpy()
    missing = np.zeros((32, 32), dtype=bool)
    missing[: hole.shape[0], : hole.shape[1]] = hole
    return (
        ObservedSlice(images[0], lambda: Mask(missing)),
        ObservedSlice(images[1], lambda: Mask(np.ones((3, 3), dtype=bool))),
        ObservedSlice(4 * images[2], lambda: Mask(missing.T)),
    )


@pytest.mark.parametrize("optimiser", ["lbfgs", "adam", "gauss-newton"])
@pytest.mark.parametrize("method", ["map", "vi"])
def test_slices_side_by_side_are_what_they_would_be_alone(random_stylegan2, hole, a_gpu, optimiser, method) -> None:
    """Catches rows of one slice that see another's data; and one that cannot be restored but costs the others."""
    slices = three_slices(random_stylegan2, hole)
    settings = preset("unaided").but(steps=12, vi_steps=4, optimiser=optimiser, starts=2, vi_samples_per_step=2)
    together = Job(slices, resident(random_stylegan2), settings, method, samples=3, seed=4)
    told: list[Step] = []
    results = run(together, told.append)
    assert isinstance(results[1], InputError)
    alone = {i: run(replace(together, slices=(slices[i],)))[0] for i in (0, 2)}
    for i, own in alone.items():
        apart = [float(np.abs(results[i].estimate - one.estimate).mean()) for one in (own, alone[2 - i])]
        assert apart[0] < 0.05 * apart[1]
        assert results[i].trace[0]["loss"] == pytest.approx(own.trace[0]["loss"], rel=1e-4)
        assert [step.iteration for step in told if step.slice == i] == list(range(1, told[-1].total + 1))
    first = [step.slice for step in told if step.phase == "map"]
    assert first == ([0, 2] * 12 if optimiser != "gauss-newton" else [0] * 12 + [2] * 12)
    assert told[-1].done == 1


@pytest.mark.parametrize(("device", "sizes"), [("cuda", [8, 2]), ("cpu", [1] * 10)])
def test_a_gpu_takes_eight_slices_at_a_time(linear_prior, scan, hole, quick, monkeypatch, device, sizes) -> None:
    """Those that can be restored, up to their maxima; a CPU takes one after the other."""
    monkeypatch.setattr(module, "pick_device", lambda name: torch.device(device))
    taken: list[int] = []
    maximise = module.maximise_together

    def counted(posteriors: Any, *rest: Any) -> Any:
        taken.append(len(posteriors))
        return maximise(posteriors, *rest)

    monkeypatch.setattr(module, "maximise_together", counted)
    slices = [ObservedSlice(scan * (1 + 0.1 * i), lambda: Mask(hole)) for i in range(11)]
    slices[9] = ObservedSlice(scan, lambda: Mask(hole[:5]))
    told: list[Step] = []
    results = run(Job(tuple(slices), resident(linear_prior), quick, samples=2), told.append)
    assert [isinstance(result, InputError) for result in results] == [i == 9 for i in range(11)]
    assert taken == sizes
    assert [t.slice for t in told if t.iteration == 1] == [*range(9), 10] and told[-1].done == 1
