"""run_stack(): the slices of a job that lie near each other, restored together, window by window."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from napari_brgm.engine.anchor import Anchor
from napari_brgm.engine.course import Course
from napari_brgm.engine.devices import attempts
from napari_brgm.engine.layout import Layout
from napari_brgm.engine.need import TooLarge
from napari_brgm.engine.observed import observe
from napari_brgm.engine.restoring import IMAGES, image_and_corruption
from napari_brgm.engine.stack_near import stack_near
from napari_brgm.engine.stacked import StackedRestoring
from napari_brgm.engine.windows import helping_mm, windows_of
from napari_brgm.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence, Set

    import torch

    from napari_brgm.engine.devices import Attempt
    from napari_brgm.engine.job import Job
    from napari_brgm.engine.known import Known
    from napari_brgm.engine.restoration import Restoration
    from napari_brgm.engine.windows import StackPart
    from napari_brgm.inference import Step
    from napari_brgm.inference.cutout import Cutout
    from napari_brgm.priors.prior import Prior
    from napari_brgm.settings import InferenceSettings

__all__ = ["StackPlan", "run_stack", "why_alone", "why_not_thin"]


class StackPlan:
    """What of a job is restored together.

    Attributes
    ----------
    layout : Layout
    windows : list of StackPart
        Those of more than one slice.
    reach : float
        How far a slice helps another, mm.
    """

    def __init__(self, job: Job) -> None:
        through = job.prior.parts.through
        assert through is not None and job.stack is not None
        self.reach = helping_mm(job.stack, through.reach)
        self.layout = Layout.of(job, self.reach)
        layout = self.layout
        windows = windows_of(layout.places.tolist(), layout.results >= 0, self.reach, layout.longest)
        whole = bool(job.stack.thin)
        self.windows = [window for window in windows if whole or len(window.slices) > 1]

    def results(self, window: StackPart) -> list[int]:
        """Restorations that a window gives."""
        return [int(self.layout.results[s]) for s in window.kept if self.layout.results[s] >= 0]

    @property
    def parts(self) -> list[tuple[int, ...]]:
        """Restorations of windows that go on from each other, chain by chain."""
        found: list[list[int]] = []
        for window in self.windows:
            if not (window.known and found):
                found.append([])
            found[-1] += self.results(window)
        return [tuple(sorted(numbers)) for numbers in found if numbers]

    def chain(self, number: int) -> set[int]:
        """Slices of the windows that begin with this one and go on from each other."""
        found = set(self.windows[number].slices)
        for window in self.windows[number + 1 :]:
            if not window.known:
                break
            found |= set(window.slices)
        return found

    def windows_for(self, wanted: Set[int]) -> list[int]:
        """Windows, by their numbers, that these restorations take: theirs, and those that they go on from."""
        found: list[int] = []
        chain: list[int] = []
        for number, window in enumerate(self.windows):
            chain = [*chain, number] if window.known else [number]
            if not wanted.isdisjoint(self.results(window)):
                found += [one for one in chain if one not in found]
        return found

    @property
    def together(self) -> set[int]:
        """Restorations that some window gives."""
        return {number for window in self.windows for number in self.results(window)}

    def costs(self, settings: InferenceSettings, draws: int) -> dict[int, float]:
        """Of each restoration that some window gives, its part of the window's cost, in steps of one slice."""
        found: dict[int, float] = {}
        for window in self.windows:
            numbers, drawn = self.results(window), int((self.layout.results[list(window.new)] >= 0).sum())
            cost = Course(len(window.new), drawn, settings.steps, draws).cost
            found |= dict.fromkeys(numbers, cost / max(len(numbers), 1))
        return found


def why_alone(job: Job, settings: InferenceSettings) -> str:
    """Why the slices of a stack are restored one by one; '' where they are not."""
    parts, name = job.prior.parts, job.prior.info.name
    if parts.through is None or parts.line is None or not parts.line.exact or parts.residual is None:
        return f"{name} knows nothing of how neighbouring slices belong together"
    plain = (
        settings.prior_density in ("gaussian", "mixture")
        and settings.latent_space == "w"
        and settings.start == "linear"
    )
    if not plain or settings.lambda_colinear or settings.lambda_perceptual or settings.refine_steps:
        return f"preset '{settings.name}' restores one slice at a time"
    if job.method != "map":
        return f"method '{job.method}' restores one slice at a time"
    return ""


def why_not_thin(job: Job, settings: InferenceSettings) -> str:
    """Why no thin slices can be made of thick ones, and what to choose instead; '' where they can."""
    reason = why_alone(job, settings)
    instead = "choose a prior of brain slices, with method 'map' and the preset that suits it"
    return f"thin slices cannot be restored from thick ones here: {reason}; {instead}" if reason else ""


def run_stack(
    job: Job, plan: StackPlan, settings: InferenceSettings, device: torch.device,
    prior_on: Callable[[Attempt], Prior], tell: Callable[[list[int]], Callable[[Step, float], None]],
    keep: Callable[[int, Restoration], Restoration] | None, results: dict[int, Restoration | InputError],
    wanted: Set[int],
) -> None:  # fmt: skip
    """Restore what a plan has together.

    Parameters
    ----------
    job : Job
    plan : StackPlan
    settings : InferenceSettings
    device : torch.device
    prior_on : callable
        The prior for an attempt.
    tell : callable
        Of the restorations that a window gives: what gets its steps, and how much of the window is done with each.
    keep : callable or None
        As of ``engine.run.run``.
    results : dict
        Gets what became of each restoration, by its number, as soon as its window is done.
    wanted : set of int
        Restorations that are asked for; windows that give none of them, nor lead to them, are left out.
    """
    anchor: Anchor | None = None
    carried: Callable[[Sequence[int]], Known] | None = None
    near: tuple[Cutout, ...] = ()
    for number in plan.windows_for(wanted):
        window = plan.windows[number]
        given = plan.results(window)
        done: dict[int, Restoration | InputError] = {}
        for attempt in attempts(device, IMAGES, cpu=job.device == "auto"):
            with attempt:
                prior, told = prior_on(attempt), tell(given)
                if anchor is None:
                    anchor = _anchor(job, plan, prior, settings)
                if not window.known:
                    near = stack_near(plan.layout, plan.chain(number), anchor, prior)
                known = carried(window.known) if window.known and carried is not None else None
                part = window if known is not None else replace(window, known=())  # the one before was not restored
                try:
                    one = StackedRestoring(
                        plan.layout, part, job, prior, settings, attempt, anchor, known, near, number, told,
                        held=job.count, with_samples=keep is None,
                    )  # fmt: skip
                    restored, following = one.finish()
                except InputError as error:
                    if isinstance(error, TooLarge) and not results:
                        raise  # nothing is done yet: the person may choose again
                    done, carried = dict.fromkeys(given, error), None
                else:
                    carried = following
                    done = restored | {i: error for i, error in one.seen.refused.items() if i in given}
                for i, found in done.items():
                    results[i] = found if keep is None or isinstance(found, InputError) else keep(i, found)


def _anchor(job: Job, plan: StackPlan, prior: Prior, settings: InferenceSettings) -> Anchor:
    """The measured slice nearest to the middle of what is restored, rather a neighbour than one with a hole."""
    layout = plan.layout
    middle = float(np.median(layout.places[layout.results >= 0]))
    order = sorted(
        layout.measured, key=lambda one: (one.number is not None, abs(float(layout.places[min(one.holds)]) - middle))
    )
    raised: InputError | None = None
    for one in order:
        try:
            image, corruption = image_and_corruption(one.given)
            return Anchor(
                observe(
                    image, corruption, prior, spacing=one.given.spacing, noise_sigma=one.given.noise_sigma,
                    pose=settings.fit_pose, alignment=job.alignment, field=settings.residual_field,
                )
            )  # fmt: skip
        except InputError as error:
            raised = raised or error
    raise raised or InputError("nothing was measured near the slices to be restored")
