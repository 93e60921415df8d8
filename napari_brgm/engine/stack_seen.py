"""Stack seen: what was measured of the slices of one window, each observed for itself in one pose for all."""

from __future__ import annotations

from dataclasses import replace
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np
import torch

from napari_brgm.corruptions import Identity, as_corruption
from napari_brgm.engine.checked import checked
from napari_brgm.engine.layout import MeasuredSlice
from napari_brgm.engine.observed import observed
from napari_brgm.engine.placed import placed
from napari_brgm.engine.restoring import image_and_corruption
from napari_brgm.errors import InputError
from napari_brgm.likelihood import Likelihood
from napari_brgm.observation import Observation, StackObservation

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    import numpy.typing as npt
    from torch import Tensor

    from napari_brgm.engine.anchor import Anchor
    from napari_brgm.engine.job import Job
    from napari_brgm.engine.layout import Layout
    from napari_brgm.engine.observed import Problem
    from napari_brgm.engine.placed import PlacedSlice
    from napari_brgm.engine.windows import StackPart
    from napari_brgm.priors.prior import Prior
    from napari_brgm.settings import InferenceSettings

__all__ = ["StackSeen"]

# of the variance of the representation error, what counts where the latents of a stack are found: all of it from so
# far a hidden slice on, mm, and as the square of the distance before, but no less than
_WHOLE_MM, _LEAST = 5.0, 0.1


class StackSeen:
    """The measured slices of a window.

    Parameters
    ----------
    layout : Layout
    window : StackPart
    job : Job
    prior : Prior
        On the device of the attempt.
    settings : InferenceSettings
    anchor : Anchor
    check : callable
        Called now and then; what it raises ends the work.

    Attributes
    ----------
    each : list of (MeasuredSlice, Problem)
    refused : dict of int to InputError
        Slices of the job that cannot be restored, and why.
    notes : list of str
    at : dict of int to int
        Place in the window of each slice of the stack.
    share : float
        Of the variance of the representation error, what counts where the latents are found.

    Raises
    ------
    InputError
        None of the slices that the window gives can be restored.
    """

    def __init__(
        self, layout: Layout, window: StackPart, job: Job, prior: Prior, settings: InferenceSettings, anchor: Anchor,
        check: Callable[[], None],
    ) -> None:  # fmt: skip
        self.layout, self.window, self.job, self.anchor = layout, window, job, anchor
        self._prior, self._settings, self._check = prior, settings, check
        self.at = {slice_: i for i, slice_ in enumerate(window.slices)}
        self.refused: dict[int, InputError] = {}
        self.notes: list[str] = []
        blank = anchor.unseen()
        # of thick slices each pixel was measured, outside the frame too
        if self.thick:
            blank = replace(blank, unseen=np.zeros_like(blank.unseen), notes=blank.placed.notes)
        self._blank = blank
        self._unmeasured = dict(self._none_measured())
        new = set(window.new)
        held = (one for one in layout.measured if not new.isdisjoint(one.holds) and self.at.keys() >= one.holds.keys())
        placed_ = [(one, slice_) for one in held if (slice_ := self._placed(one)) is not None]
        self._shown = [(one, slice_.given.seen) for one, slice_ in placed_]
        self.share = self._share()
        field = settings.residual_field
        self.each = [(one, observed(slice_, prior, field=field, share=self.share)) for one, slice_ in placed_]
        if self.kept and self.refused.keys() >= {int(layout.results[slice_]) for slice_ in self.kept}:
            raise next(iter(self.refused.values()))
        if self.thick:
            self.notes += self._lost()
        if self.each:
            return
        if not window.known:
            raise next(iter(self.refused.values()), InputError("nothing was measured near the slices to be restored"))
        # the prior goes on from what is known: as if a slice were seen of which all is hidden
        self.each.append((MeasuredSlice(job.slices[0], {window.new[0]: 1.0}), self._blank))

    def _placed(self, one: MeasuredSlice) -> PlacedSlice | None:
        """A measured slice in the pose of the stack; None where it is of no use, which is told."""
        try:
            slice_ = self._in_pose(one)
            blank = not self.thick and np.ptp(slice_.given.values) == 0
            if blank and one.number is None:
                return None  # a lost one says that tissue ends: a hole beside three was missed by 15 for 10
            if blank:
                raise InputError("all measured pixels have the same value; there is nothing to restore from")
        except InputError as error:
            told_of = [int(self.layout.results[slice_]) for slice_ in one.holds] if self.thick else [one.number]
            self.refused |= {number: error for number in told_of if number is not None}
            if one.number is None:
                self.notes.append(f"a neighbouring slice was left out: {error}")
            return None
        return slice_

    def _none_measured(self) -> Iterator[tuple[int, Problem]]:
        """Problems of slices that the window gives and of which nothing was measured, by their numbers."""
        for number in [] if self.thick else [int(self.layout.results[slice_]) for slice_ in self.kept]:
            given = self.job.slices[number]
            if given.image is not None:
                continue
            try:
                hidden = as_corruption(given.corruption()).hidden(self._blank.shape)
            except InputError as error:
                self.refused[number] = error
            else:
                yield number, self.anchor.unseen(None if hidden is None else hidden.numpy())

    def _lost(self) -> list[str]:
        """Of thick slices that show nothing, between others that do."""
        empty = [bool(np.ptp(problem.placed.given.values) == 0) for _, problem in self.each]
        return [
            f"thick slice {self.each[j][0].number} has the same value throughout, those on either side have not; where "
            "it was lost, its thin slices are wrong and those beside them, too"
            for j in range(1, len(empty) - 1)
            if empty[j] and not all(empty[:j]) and not all(empty[j + 1 :])
        ]

    def _in_pose(self, one: MeasuredSlice) -> PlacedSlice:
        given, anchor = one.given, self.anchor
        image, corruption = image_and_corruption(given)
        noise = anchor.noise_sigma if given.noise_sigma is None else given.noise_sigma
        seen = checked(image, corruption, self._prior, given.spacing, noise, flat=True, second=given.second)
        if not seen.corruption.linear or seen.grid.fine != anchor.problem.placed.given.grid.fine:
            raise InputError("slices of a stack must have the same pixels, and have been seen in a linear way")
        found = placed(seen, self._prior, pose=False, alignment=anchor.alignment, check=self._check)
        return replace(found, fitted=anchor.problem.placed.fitted)

    def _share(self) -> float:
        """The farther a slice is that shows what another hides, the less it tells its residual field from its latents:
        in the end no better than of a slice alone.
        """
        if self.thick:
            return _LEAST
        none = self._blank.placed.given.seen
        seen = {place: seen for one, seen in self._shown for place in one.holds}
        shown = {slice_: seen.get(slice_, none) for slice_ in self.kept}
        # of each hidden pixel, mm; where all pixels are coarse ones, none is hidden
        far = [self.nearest_mm(slice_)[~one] for slice_, one in shown.items() if one.shape == self._blank.shape]
        most = max((one.size for one in far), default=0) or 1  # so that specks in other slices count for little
        mm = max((float(one.sum()) for one in far), default=0.0) / most
        return float(np.clip((mm / _WHOLE_MM) ** 2, _LEAST, 1.0))

    @property
    def kept(self) -> list[int]:
        """Slices of the stack whose restorations the window gives."""
        return [slice_ for slice_ in self.window.kept if self.layout.results[slice_] >= 0]

    @property
    def thick(self) -> bool:
        """Whether what was measured are sums of the slices that are restored."""
        return self.job.stack is not None and bool(self.job.stack.thin)

    @property
    def places(self) -> npt.NDArray[np.float64]:
        """(n,) mm, of the slices of the window."""
        return self.layout.places[list(self.window.slices)]

    def problem(self, slice_: int) -> Problem:
        """That of a slice of the stack, which may not have been measured."""
        if self.thick:
            return self._blank
        seen = next((problem for one, problem in self.each if slice_ in one.holds), self._blank)
        return self._unmeasured.get(int(self.layout.results[slice_]), seen)

    @cached_property
    def groups(self) -> list[list[int]]:
        """Numbers of the measured slices of which the same pixels were measured as well, group by group."""
        groups: dict[bytes, list[int]] = {}
        for j, (_, problem) in enumerate(self.each):
            seen = np.packbits(problem.placed.given.seen).tobytes()
            if problem.sigma is not None:
                seen += problem.sigma.cpu().numpy().tobytes()
            groups.setdefault(seen, []).append(j)
        return list(groups.values())

    def profile(self) -> Tensor | None:
        """(m, n) shares of the slices of the window in each measured one; None: they are the same."""
        found = torch.zeros(len(self.each), len(self.window.slices))
        for j, (one, _) in enumerate(self.each):
            for slice_, share in one.holds.items():
                found[j, self.at[slice_]] = share
        same = len(found) == found.shape[1] and torch.equal(found, torch.eye(len(found)))
        return None if same else found.to(self._prior.latents.mean.device)

    def likelihood(self, profile: Tensor | None) -> Likelihood:
        """Of the stack."""
        seen = []
        for _, problem in self.each:
            observation = problem.likelihood.observation
            assert isinstance(observation, Observation)
            # which pixels are hidden, an observation says anyway
            seen.append(replace(observation, corruption=Identity()) if problem.measured.any() else observation)
        y = torch.cat([problem.likelihood.y for _, problem in self.each], dim=1)
        return Likelihood(StackObservation(tuple(seen), profile), y)

    def nearest_mm(self, slice_: int) -> npt.NDArray[np.float64]:
        """(H, W) distance of each pixel of a slice to the nearest slice of the window in which it was measured."""
        places, mine = self.layout.places, float(self.layout.places[slice_])
        found = np.full(self._blank.shape, float(np.ptp(self.places)) or 1.0)
        for one, seen in self._shown:
            far = abs(float(places[min(one.holds)]) - mine)
            if seen.shape == found.shape:  # else all pixels are coarse ones, and none is measured
                np.copyto(found, far, where=seen & (far < found))
        return found
