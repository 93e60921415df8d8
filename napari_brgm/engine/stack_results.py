"""Stack results: what was found of a window's slices, one by one, on the scan's grid and in its units."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from napari_brgm.engine.assembled import assembled
from napari_brgm.engine.bridged import bridges, with_bridges
from napari_brgm.engine.draws import Draws, finished, on_grid
from napari_brgm.engine.finishing import TOGETHER
from napari_brgm.engine.known import Known
from napari_brgm.engine.misfit import misfit_of
from napari_brgm.engine.stack_place import StackPlace
from napari_brgm.engine.thick import consistent
from napari_brgm.engine.thin_detail import SPREAD, thin_of
from napari_brgm.likelihood import from_grey, to_grey

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    import numpy.typing as npt
    from torch import Tensor

    from napari_brgm.engine.bridged import BridgedSlice
    from napari_brgm.engine.restoration import Restoration
    from napari_brgm.engine.stack_found import StackFound
    from napari_brgm.engine.stack_seen import StackSeen
    from napari_brgm.inference import Progress
    from napari_brgm.priors.prior import Prior
    from napari_brgm.settings import InferenceSettings

__all__ = ["StackResults"]

_SCALE = 1.0  # of the spread: latents of a stack come nearer to what was measured, which tells nothing of the rest


class StackResults:
    """Makes the restorations of a window, and what a later one goes on from.

    Parameters
    ----------
    seen : StackSeen
    prior, settings
        As they were used.
    known : Known or None
        What the window went on from.
    device : torch.device
    notes : list of str
    generator : torch.Generator
    progress : Progress
    began : float
        When the window was begun, ``time.perf_counter``.
    """

    def __init__(
        self, seen: StackSeen, prior: Prior, *, settings: InferenceSettings, known: Known | None, device: torch.device,
        notes: list[str], generator: torch.Generator, progress: Progress, began: float,
    ) -> None:  # fmt: skip
        self.seen, self.prior, self.settings, self.known, self.device = seen, prior, settings, known, device
        self.notes, self.generator, self.progress, self.began = notes, generator, progress, began
        self._frame, self._window = seen.anchor.problem.placed.frame, seen.anchor.problem.window
        self._read: dict[int, BridgedSlice] = {}

    def made(
        self, best: StackFound, draws: StackFound | None, tell: Callable[[float], object]
    ) -> tuple[dict[int, Restoration], Callable[[Sequence[int]], Known]]:
        """The restorations by their numbers, and ``Known`` of any of the slices.

        ``tell`` is called with how much of that is done, 0 .. 1.
        """
        drawn = draws or best.none()
        thin = (self._thin(best.images, 0), self._thin(drawn.images, 1)) if self.seen.thick else None
        shown = thin if thin is None else self._finer(*thin)
        self._read = {} if self.seen.thick else self._bridges(best)
        likeliest = with_bridges(best, self.seen.at, self._read)
        spread = None if draws is None else with_bridges(draws, self.seen.at, self._read)
        kept, found = self.seen.kept, {}
        for done, slice_ in enumerate(kept):
            tell(done / len(kept))
            self.progress.check()
            number = int(self.seen.layout.results[slice_])
            if number in self.seen.refused:
                continue
            found[number] = self._one(slice_, likeliest, spread, shown)

        def known(slices: Sequence[int]) -> Known:
            at = [self.seen.at[slice_] for slice_ in slices]
            on_grid = None if thin is None else (thin[0][:, at], thin[1][:, at])
            return Known(
                best.latents[:, at], best.fields[:, at], best.images[:, at], drawn.latents[:, at], drawn.fields[:, at],
                drawn.images[:, at], on_grid,
            )  # fmt: skip

        return found, known

    def _one(
        self, slice_: int, best: StackFound, drawn: StackFound | None, thin: tuple[Tensor, Tensor] | None
    ) -> Restoration:
        seen, i, problem = self.seen, self.seen.at[slice_], self.seen.problem(slice_)
        field, exact = self.prior.parts.residual, self.settings.data_consistency
        draws = None
        if thin is None:
            estimate = finished(problem, field, best.images[:, i : i + 1], exact, self.progress)
            if drawn is not None:
                pictures = drawn.images[:, i : i + 1]
                draws = on_grid(problem, pictures, field, exact, self.generator, self.progress, len(pictures))
        else:
            estimate = self._units(thin[0][:, i])[0]
            if drawn is not None:
                draws = Draws(problem, self._units(thin[1][:, i]), self.progress.check)
        misfit = math.nan
        if problem.placed.given.seen.any():
            shown = from_grey(to_grey(best.images) - best.fields)[:, i : i + 1]
            misfit = misfit_of(problem.likelihood, shown, self.prior.resolution, problem.pixel)
        latents = self.prior.latents.colour(best.latents[0, i])[None].expand(self.prior.num_ws, -1)
        return assembled(
            problem, self.prior, self.settings, seen.job, draws=draws, estimate=problem.whole(estimate),
            latents=latents, scale=_SCALE, misfit=misfit, device=self.device, notes=self.notes,
            trace=self.progress.trace, began=self.began, together=self._together(slice_),
            texture={} if draws is None else {"unfinished": TOGETHER},
        )  # fmt: skip

    def _bridges(self, best: StackFound) -> dict[int, BridgedSlice]:
        """As a network reads hidden slices from those on both sides, where it can (bridged.py)."""
        net = self.prior.parts.bridge
        return {} if net is None else bridges(self.seen, net, best.images[0], self.progress.check)

    def _thin(self, images: Tensor, which: int) -> Tensor:
        """(B, n, H, W) on the scan's grid, grey levels, agreeing with the thick slices; one draw at a time.

        ``which``: of what the window went on from, 0 the best, 1 the draws.
        """
        through = self.prior.parts.through
        assert through is not None
        between = through.of_residual(torch.from_numpy(self.seen.places)).mean(dim=0)
        found = torch.zeros(len(images), images.shape[1], *self._frame.shape)
        for b, image in enumerate(images):
            self.progress.check()
            x = self._frame.A(to_grey(image[None])).clamp(min=0)
            if self.settings.data_consistency:
                before = None
                if self.known is not None and self.known.native is not None:
                    before = self.known.native[which][b : b + 1].to(x)
                x = consistent(x, self.seen.each, self.seen.at, between, before, self.progress.check)
            found[b] = x[0].cpu()
        return found

    def _finer(self, best: Tensor, draws: Tensor) -> tuple[Tensor, Tensor]:
        """As a network reads the thick slices, where it can (thin_detail.py)."""
        net = self.prior.parts.detail
        read = None
        if net is not None and self.settings.data_consistency:
            read = thin_of(self.seen, net, self.progress.check)
        if read is None:
            return best, draws
        spread = draws - draws.mean(dim=0)
        return read[None], spread.mul_(SPREAD).add_(read)

    def _units(self, grey: Tensor) -> Any:
        """(B, H W) values in the scan's units of grey levels (B, H, W)."""
        values: npt.NDArray[Any] = self._window.from_grey(grey.flatten(1).double().numpy())
        return np.asarray(values, np.float32)

    def _together(self, slice_: int) -> StackPlace:
        layout, slices = self.seen.layout, self.seen.window.slices
        places, at = layout.places, layout.places[slice_]
        clear = [abs(places[s] - at) for s in slices if layout.results[s] < 0]
        record: dict[str, Any] = {
            "place_mm": round(float(at), 4),
            "neighbours_mm": [round(float(places[s] - at), 4) for s in slices if s != slice_],
            "nearest_measured_mm": round(float(min(clear)), 4) if clear else None,
        }
        if slice_ in self._read:
            record["bridge"] = self._read[slice_].record()
        if not self.seen.thick:
            restored = [int(layout.results[s]) for s in slices if layout.results[s] >= 0]
            second = any(self.seen.job.slices[number].second is not None for number in restored)
            return StackPlace(record, self.seen.nearest_mm(slice_), second=second)
        shape = self._frame.shape
        return StackPlace(record, np.broadcast_to(1.0, shape), self._thick_mm())

    def _thick_mm(self) -> float:
        """From the middle of one thick slice to that of the next."""
        assert self.seen.job.stack is not None
        places = np.asarray(self.seen.job.stack.places)
        if len(places) > 1:
            return float(np.diff(places).min())
        return float(np.ptp(self.seen.places)) + 1e-6
