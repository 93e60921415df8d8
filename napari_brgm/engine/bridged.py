"""Bridged: slices that are hidden in part, as a network reads them from the measured ones on both sides.

    m' = a m + (1 - a) b,     x_k <- m' + s (x_k - m)       where hidden

m and x_k are mean and draws of the stack's model, b what the network says (priors/bridge.py). The model is linear in
what was measured, and the network is not; it knows nothing of slices farther away, and as the gap grows the model says
more. a is that at which ten held-out heads were missed least, by the distance of the measured slices, and s about what
the error was then of the model's: of one slice between near ones a little less, since right beside a measured slice
factors of calibration are of wider gaps, too. Only of holes in pixels seen as they are, without a second scan.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import torch

from napari_brgm.corruptions import Identity, Mask, as_corruption
from napari_brgm.engine.job import ObservedSlice
from napari_brgm.engine.layout import MeasuredSlice
from napari_brgm.engine.placed import grey_tensor
from napari_brgm.engine.restoring import image_and_corruption
from napari_brgm.errors import InputError
from napari_brgm.likelihood import from_grey, to_grey
from napari_brgm.priors.bridge import Gap

if TYPE_CHECKING:
    from collections.abc import Callable

    from torch import Tensor

    from napari_brgm.engine.stack_found import StackFound
    from napari_brgm.engine.stack_seen import StackSeen
    from napari_brgm.priors.bridge import Bridge

__all__ = ["BridgedSlice", "bridges", "with_bridges"]

_APART = (2.0, 4.0, 6.0, 10.0, 12.0, 20.0, 30.0, 33.0)  # mm from one measured slice to the other,
_SHARES = (0.23, 0.1, 0.07, 0.14, 0.2, 0.53, 0.73, 1.0)  # a,
_SPREADS = (0.86, 0.8, 0.76, 0.82, 0.86, 0.95, 0.98, 1.0)  # and s
_TOUCHED = 0.01  # of a frame pixel: where so much of it is hidden, it is
_COMMON = 0.02  # of what is hidden: a neighbour may hide so much of it, too, and of so little nothing is read
_PARTS = 6  # of a slice, read one by one


@dataclass(frozen=True, slots=True, eq=False)
class BridgedSlice:
    """What a network reads of a slice.

    Attributes
    ----------
    image : (R, R) Tensor
        Grey levels; b.
    hidden : (R, R) bool Tensor
        What of it was read.
    share, spread : (R, R) Tensor
        Of the stack's model; a and s.
    before_mm, after_mm : float
        How far the slices are that most of it was read from.
    """

    image: Tensor
    hidden: Tensor
    share: Tensor
    spread: Tensor
    before_mm: float
    after_mm: float

    def record(self) -> dict[str, float]:
        """What is told of it: of most of it, and of all that was read the mean share."""
        return {
            "before_mm": round(self.before_mm, 4), "after_mm": round(self.after_mm, 4),
            "share": round(1 - float(self.share[self.hidden].mean()), 3),
        }  # fmt: skip


class _Part(NamedTuple):
    """Hidden pixels (R, R) that the same slices show, and what is known of them."""

    pixels: Tensor
    gap: Gap


def with_bridges(found: StackFound, at: dict[int, int], read: dict[int, BridgedSlice]) -> StackFound:
    """The same images where nothing was hidden, and the equations of the module where it was.

    ``at``: place in the window of each slice.
    """
    images = found.images.clone()
    for slice_, one in read.items():
        x = images[:, at[slice_]]
        mean = x.mean(dim=0)
        target = from_grey(one.share * to_grey(mean) + (1 - one.share) * one.image)
        images[:, at[slice_]] = torch.where(one.hidden, target + one.spread * (x - mean), x)
    return replace(found, images=images)


def bridges(seen: StackSeen, net: Bridge, best: Tensor, check: Callable[[], None]) -> dict[int, BridgedSlice]:
    """Slices of a window that can be read so, by their numbers in the stack.

    Parameters
    ----------
    seen : StackSeen
        Not of thick slices.
    net : Bridge
    best : (n, R, R) Tensor
        Most probable images of the window's slices, in [-1, 1]: what stands for what a neighbour hides elsewhere.
    check : callable
        Called now and then; what it raises ends the work.
    """
    slices, found = _Slices(seen, to_grey(best)), {}
    for slice_ in seen.kept:
        check()
        problem = seen.problem(slice_)
        unusable = int(seen.layout.results[slice_]) in seen.refused or problem.sigma is not None
        if unusable or problem.placed.given.seen.all():
            continue
        parts = slices.parts(slice_)
        if not parts:
            continue
        image, share, spread = torch.zeros_like(best[0]), torch.ones_like(best[0]), torch.ones_like(best[0])
        hidden = torch.zeros_like(best[0], dtype=torch.bool)
        for pixels, gap in parts:
            check()
            far = gap.before_mm + gap.after_mm
            image[pixels] = net.slice_between(gap).to(best)[pixels]
            share[pixels], spread[pixels] = (float(np.interp(far, _APART, by)) for by in (_SHARES, _SPREADS))
            hidden |= pixels
        most = parts[0].gap
        found[slice_] = BridgedSlice(image, hidden, share, spread, most.before_mm, most.after_mm)
    return found


class _Slices:
    """Measured slices of the whole stack in the generator's frame, grey levels; each is brought there once.

    Also those beyond the window, and beyond what helps the stack's model: how anatomy goes on shows best in the second.
    """

    def __init__(self, seen: StackSeen, best: Tensor) -> None:
        self._seen, self._best = seen, best
        layout, stack = seen.layout, seen.job.stack
        assert stack is not None
        self._problems = {id(one): problem for one, problem in seen.each}
        self._measured = {float(layout.places[slice_]): one for one in layout.measured for slice_ in one.holds}
        first = seen.job.slices[0]
        for at, image in stack.neighbours:
            given = ObservedSlice(image, Identity, first.spacing, first.noise_sigma)
            self._measured.setdefault(float(at), MeasuredSlice(given, {}))
        self._slices = {float(layout.places[slice_]): i for slice_, i in seen.at.items()}  # of the window
        self._known: dict[float, tuple[Tensor, Tensor] | None] = {}

    def parts(self, slice_: int) -> list[_Part]:
        """What is known of a slice that hides something, the largest part first: pixels that the same two slices show
        next, as of a hole that grows and shrinks its rim lies next to slices that show it, and its middle does not.
        None of pixels that are not measured on both sides near enough.
        """
        place = float(self._seen.layout.places[slice_])
        own = self._shown(place)
        if own is None and place in self._measured:
            return []
        if own is None:
            given = self._seen.problem(slice_).placed.given
            own = self._placed(np.zeros(given.seen.shape, np.float32), given.seen)
        image, hidden = own
        near = sorted((abs(at - place), at) for at in self._measured if 0 < abs(at - place) < _APART[-1])
        before, after = (self._side([one for one in near if (one[1] - place) * way > 0], hidden) for way in (-1, 1))
        first, last = (_nearest(hidden, side) for side in (before, after))
        pairs, counts = torch.unique(torch.stack([first[hidden], last[hidden]]), dim=1, return_counts=True)
        found = []
        for i in counts.argsort(descending=True)[:_PARTS].tolist():
            j, k = pairs[:, i].tolist()
            if min(j, k) < 0 or before[j].far + after[k].far >= _APART[-1]:
                continue
            if int(counts[i]) < _COMMON * int(hidden.sum()):
                break
            pixels = hidden & (first == j) & (last == k)
            sides = [
                torch.stack([side[n].image, _beyond(side[n:], pixels).image]) for side, n in ((before, j), (after, k))
            ]
            found.append(_Part(pixels, Gap(sides[0], image, sides[1], hidden, before[j].far, after[k].far)))
        return found

    def _side(self, near: list[tuple[float, float]], hidden: Tensor) -> list[_Beside]:
        """Slices so many mm away at such places, nearest first, to the second that shows all: none beyond is read."""
        found, whole = [], 0
        for far, at in near:
            one = self._beside(at, far, hidden)
            if one is None:
                continue
            found.append(one)
            whole += int(bool(one.shows[hidden].all()))
            if whole == 2:
                break
        return found

    def _beside(self, place: float, far: float, hidden: Tensor) -> _Beside | None:
        """A measured slice that shows some of what is hidden; None where it does not."""
        shown = self._shown(place)
        if shown is None:
            return None
        image, own = shown
        shows = ~own if int((own & hidden).sum()) > _COMMON * int(hidden.sum()) else torch.ones_like(own)
        if not (shows & hidden).any():
            return None
        if not own.any():
            return _Beside(far, image, shows)
        at = self._slices.get(place)
        return None if at is None else _Beside(far, torch.where(own, self._best[at], image), shows)

    def _shown(self, place: float) -> tuple[Tensor, Tensor] | None:
        if place not in self._known:
            self._known[place] = self._read(place)
        return self._known[place]

    def _read(self, place: float) -> tuple[Tensor, Tensor] | None:
        """A slice's image and what it hides, (R, R); None where nothing of it was measured as it is."""
        one = self._measured.get(place)
        if one is None:
            return None
        problem = self._problems.get(id(one))
        try:
            image, corruption = (
                image_and_corruption(one.given) if problem is None else
                (problem.placed.given.image, problem.placed.given.corruption)
            )  # fmt: skip
            f = as_corruption(corruption)
        except InputError:
            return None
        plane = np.asarray(image)
        if not isinstance(f, Mask | Identity) or plane.shape != self._seen.anchor.problem.placed.frame.shape:
            return None
        hidden = f.hidden(plane.shape)
        seen = np.ones(plane.shape, bool) if hidden is None else ~hidden.numpy()
        values = plane[seen]
        if not values.size or not np.isfinite(values).all() or np.ptp(values) == 0:
            return None
        return self._placed(plane, seen)

    def _placed(self, plane: np.ndarray, seen: np.ndarray) -> tuple[Tensor, Tensor]:
        placed = self._seen.anchor.problem.placed
        native = grey_tensor(plane, seen, placed.window).to(self._best)
        hidden = torch.from_numpy(~seen).to(native)[None, None]
        return placed.frame.to_frame(native)[0, 0], placed.frame.to_frame(hidden)[0, 0] > _TOUCHED


class _Beside(NamedTuple):
    """A measured slice: how far it is, mm, its image (R, R), and which of its pixels were measured, or nearly so."""

    far: float
    image: Tensor
    shows: Tensor


def _nearest(hidden: Tensor, side: list[_Beside]) -> Tensor:
    """(R, R) number of the nearest slice that shows each hidden pixel; -1: none."""
    found = torch.full_like(hidden, -1, dtype=torch.long)
    for i, one in enumerate(side):
        open_ = hidden & (found < 0)
        if not open_.any():
            break
        found[open_ & one.shows] = i
    return found


def _beyond(side: list[_Beside], pixels: Tensor) -> _Beside:
    """The next slice that shows these pixels as the first does; the first again, where there is none."""
    least = (1 - _COMMON) * int(pixels.sum())
    return next((one for one in side[1:] if int((one.shows & pixels).sum()) >= least), side[0])
