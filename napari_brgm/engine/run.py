"""run(): a job, from its slices to their restorations; the one way in for API, shell, widgets and evaluation.

On a GPU up to eight slices share one synthesis up to their maxima, as memory allows; after it each has draws of its
own, which fill a batch by themselves. A CPU, which gains nothing from a batch, takes one after the other.
"""

from __future__ import annotations

import math
from contextlib import contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING, get_args

import numpy as np

from napari_brgm.engine.devices import attempts, outward, pick_device
from napari_brgm.engine.need import TooLarge
from napari_brgm.engine.restoring import IMAGES, Restoring
from napari_brgm.engine.run_stack import StackPlan, run_stack, why_alone, why_not_thin
from napari_brgm.errors import Cancelled, InputError
from napari_brgm.inference import maximise_together
from napari_brgm.priors.compiled import with_compiled_network
from napari_brgm.settings import Method, preset

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator, Sequence

    import torch

    from napari_brgm.engine.devices import Attempt
    from napari_brgm.engine.job import Job
    from napari_brgm.engine.restoration import Restoration
    from napari_brgm.inference import Maximum, Step
    from napari_brgm.priors.prior import Prior
    from napari_brgm.settings import InferenceSettings

__all__ = ["parts_of", "run"]

_DRAWN = 8  # samples drawn in one step of a slice by itself


def run(
    job: Job, tell: Callable[[Step], object] | None = None,
    keep: Callable[[int, Restoration], Restoration] | None = None, only: Collection[int] | None = None,
) -> list[Restoration | InputError]:  # fmt: skip
    """Restore the slices of a job, or some of them.

    Parameters
    ----------
    job : Job
    tell : callable, optional
        Called with each Step, and with the last one again while a step lasts; ``Cancelled``, or whatever it raises,
        ends the job. ``Cancelled`` comes back with what was restored by then, in its ``finished``.
    keep : callable, optional
        Called with the number of a slice and its restoration as soon as that is there; gives what is to be kept of it
        (without its samples, for instance, once they are on disk). What it raises ends the job.
    only : collection of int, optional
        Restorations that are wanted, by their numbers: whole parts of ``parts_of``, which come out as they do with all
        others. None: all.

    Returns
    -------
    list of Restoration or InputError
        One for each slice, or for each thin one of a stack of thick ones, or for each of ``only`` in ascending order;
        an error says why that slice could not be restored. It does not cost the others.

    Raises
    ------
    InputError, DeviceError
        What was asked for cannot be done with any slice (the first one's reason, which then has its ``number``), there
        is not enough memory for all of it, or the device cannot be used.
    """
    results: dict[int, Restoration | InputError] = {}
    with _with_finished(results):
        settings = _checked(job)
        chosen = pick_device(job.device)
        tell, keep = outward(tell), outward(keep)
        priors = _Priors(job.prior, settings)
        wanted = set(range(job.count) if only is None else only)
        costs = [float(settings.steps + settings.refine_steps + math.ceil(job.draws / _DRAWN))] * job.count
        plan, alone_because = _planned(job, settings)
        if alone_because:
            priors.notes.append(f"each slice was restored by itself: {alone_because}")
        if plan is not None:
            for number, cost in plan.costs(settings, job.draws).items():
                costs[number] = cost
        progress = _JobProgress(costs, wanted, tell)
        if plan is not None:
            run_stack(job, plan, settings, chosen, priors.on, progress.of, keep, results, wanted)
            if job.stack is not None and len(job.stack.places) + len(job.stack.neighbours) > 1:
                priors.notes.append(f"it was restored by itself: no other slice is within {plan.reach:.3g} mm of it")
        together = IMAGES if chosen.type == "cuda" else 1
        alone = settings.prior_density == "flat" or settings.optimiser == "gauss-newton"
        most = 1 if alone else together  # slices that share a synthesis
        for part in _single(job, plan, together):
            for attempt in attempts(chosen, IMAGES, cpu=job.device == "auto"):
                with attempt:
                    prior = priors.on(attempt)
                    fewer = settings.but(
                        vi_samples_per_step=max(settings.vi_samples_per_step * attempt.batch // IMAGES, 1)
                    )
                    size = min(attempt.batch, most)
                    left = [i for i in part if i in wanted and i not in results]
                    for start in range(0, len(left), size):
                        group: dict[int, Restoring] = {}
                        for i in left[start : start + size]:
                            try:
                                begun = bool(group) or not all(isinstance(r, InputError) for r in results.values())
                                held = 1 if begun else len(job.slices) - i
                                group[i] = Restoring(
                                    job.slices[i], job, prior, fewer, attempt, progress.of([i]), held=held,
                                    with_samples=keep is None,
                                )  # fmt: skip
                            except InputError as error:
                                if isinstance(error, TooLarge) and not begun:
                                    raise  # nothing is done yet: the person may choose again
                                results[i] = error
                                progress.shares[i] = 1.0
                        _finish(group, results, keep)
    found_all = [results[i] for i in sorted(wanted)]
    failed = [result for result in found_all if isinstance(result, InputError)]
    if len(failed) == len(found_all):
        failed[0].number = min(wanted)
        raise failed[0]
    return found_all


def parts_of(job: Job) -> list[tuple[int, ...]]:
    """Restorations of a job that depend on each other, and are made in one go; in order.

    Each part can be made by itself (``only`` of ``run``), in another process or on another day, and comes out as it
    does with all others on the same kind of device: windows of a stack that go on from each other, single slices, and
    on a GPU those that share a synthesis.

    Raises
    ------
    InputError, DeviceError
        As ``run``, of what can be told before it.
    """
    settings = _checked(job)
    plan, _ = _planned(job, settings)
    together = IMAGES if pick_device(job.device).type == "cuda" else 1
    return sorted([*([] if plan is None else plan.parts), *_single(job, plan, together)])


def _planned(job: Job, settings: InferenceSettings) -> tuple[StackPlan | None, str]:
    """How slices are restored together; None, and of a stack the reason, where each is by itself."""
    if job.stack is None:
        return None, ""
    if job.stack.thin and (refused := why_not_thin(job, settings)):
        raise InputError(refused)
    reason = why_alone(job, settings)
    return (None, reason) if reason else (StackPlan(job), "")


def _single(job: Job, plan: StackPlan | None, together: int) -> list[tuple[int, ...]]:
    """Slices that are restored by themselves, as many at once as share a synthesis."""
    stacked = set() if plan is None else plan.together
    alone = [i for i in range(job.count) if i not in stacked]
    return [tuple(alone[first : first + together]) for first in range(0, len(alone), together)]


@contextmanager
def _with_finished(results: dict[int, Restoration | InputError]) -> Iterator[None]:
    """What ``Cancelled`` takes along: what stands in ``results`` by then."""
    try:
        yield
    except Cancelled as stop:
        stop.finished = {i: found for i, found in sorted(results.items()) if not isinstance(found, InputError)}
        raise


def _finish(
    group: dict[int, Restoring], results: dict[int, Restoration | InputError],
    keep: Callable[[int, Restoration], Restoration] | None,
) -> None:  # fmt: skip
    """Restore slices that share a synthesis up to their maxima, into ``results`` by their numbers."""
    each = list(group.values())
    if not each:
        return
    try:
        found: Sequence[Maximum | None] = [None] * len(each)
        if each[0].seeks_maximum:
            found = maximise_together(
                [one.posterior for one in each], [one.generator for one in each], [one.progress for one in each]
            )
    except InputError as error:  # the settings do not go with this prior, whatever the slice
        results |= dict.fromkeys(group, error)
        return
    for (i, one), maximum in zip(group.items(), found, strict=True):
        try:
            result = one.finish(maximum)
        except InputError as error:
            results[i] = error
        else:
            results[i] = result if keep is None else keep(i, result)


def _checked(job: Job) -> InferenceSettings:
    """Settings of a job that can be run."""
    if not job.slices:
        raise InputError("there is no slice to restore; choose at least one")
    settings = job.settings or preset(job.prior.info.preset)
    if job.method not in get_args(Method):
        raise InputError(f"method must be 'map', 'laplace' or 'vi', got {job.method!r}")
    if job.method != "map" and settings.prior_density == "flat":
        raise InputError(
            f"{job.prior.info.name} has no density that method {job.method!r} could use; choose method 'map'"
        )
    if job.method == "laplace" and settings.objective == "released":
        raise InputError("the released objective is no log density; choose method 'map' or 'vi', or another preset")
    if not isinstance(job.samples, int | np.integer):
        raise InputError(f"samples must be a whole number, got {job.samples!r}")
    if job.samples < 2 and (job.samples or job.method != "map" or settings.prior_density == "flat"):
        without = "; 0, the most probable image alone, goes with method 'map' and a prior that has a density"
        raise InputError(f"samples must be at least 2 to give a variance, got {job.samples}{without}")
    return settings


class _Priors:
    """The prior of a job on the devices that it runs on: moved, and compiled, once for each."""

    def __init__(self, prior: Prior, settings: InferenceSettings) -> None:
        self.prior, self.settings = prior, settings
        self.there: dict[torch.device, tuple[Prior, list[str]]] = {}
        self.notes: list[str] = []  # of the whole job

    def on(self, attempt: Attempt) -> Prior:
        """The prior on the attempt's device; what is to be said of it is added to the attempt's notes."""
        if attempt.device not in self.there:
            prior, notes = self.prior.to(attempt.device), []
            if self.settings.compiled:
                try:
                    prior = with_compiled_network(prior)
                except Exception as error:  # whatever the compiler stack raises, the plain network does
                    why = type(error).__name__
                    notes.append(f"the generator could not be compiled ({why}) and ran as it is, more slowly")
            self.there[attempt.device] = prior, notes
        prior, notes = self.there[attempt.device]
        attempt.notes += notes + self.notes
        return prior


class _JobProgress:
    """Tells steps of slices as steps of the job; ``costs`` of each slice, of any unit, of which some are ``wanted``."""

    def __init__(self, costs: Sequence[float], wanted: set[int], tell: Callable[[Step], object] | None) -> None:
        self.costs = [cost if number in wanted else 0.0 for number, cost in enumerate(costs)]
        self.tell = tell
        self.shares = [0.0] * len(costs)  # of each slice, that are done

    def of(self, numbers: Sequence[int]) -> Callable[..., None]:
        """What gets the steps of one slice, or of some that are restored together, and how much of these is done."""

        def told(step: Step, share: float | None = None) -> None:
            for number in numbers:
                self.shares[number] = step.iteration / step.total if share is None else share
            if self.tell is not None:
                parts = (share * cost for share, cost in zip(self.shares, self.costs, strict=True))
                done = min(sum(parts) / sum(self.costs), 1.0)
                at, together = numbers[step.slice], len(numbers)
                self.tell(replace(step, slice=at, slices=len(self.shares), together=together, done=done))

        return told
