"""Joined: the restorations of slices as the one of their volume."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from napari_brgm.corruptions import Mask
from napari_brgm.engine.head import variance_of_guess
from napari_brgm.engine.provenance import shared_record
from napari_brgm.engine.restoration import Restoration
from napari_brgm.samples import samples_of

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    import numpy.typing as npt

    from napari_brgm.corruptions import LinearOperator

__all__ = ["joined", "outside_the_brain"]


def joined(
    array: npt.NDArray[Any], f: LinearOperator, results: Sequence[Restoration], places: Sequence[int], size: int
) -> Restoration:
    """One restoration of those of slices.

    Slices that were not restored stay as they are. Of their pixels those are not called measured that are missing, as
    outside the brain of a head, or no numbers; they have the variance of a uniform guess.

    Parameters
    ----------
    array : (K, H, W) ndarray
        As measured.
    f : LinearOperator
        What happened to it.
    results : sequence of Restoration
        Of single slices, at least one.
    places : sequence of int
        Where they lie in the result, ascending.
    size : int
        How many slices that has; K, where not all are restored.
    """
    by_place, first = dict(zip(places, results, strict=True)), results[0]
    kept = [i for i in range(size) if i not in by_place]
    missing = f.missing.numpy() if kept and isinstance(f, Mask) else np.zeros(array.shape, dtype=bool)
    known = {i: np.isfinite(array[i]) & ~missing[i] for i in kept}
    drawn, guess = len(first.samples), variance_of_guess(first)

    def whole(of: Callable[[Restoration], Any], other: Callable[[int], Any], dtype: Any) -> npt.NDArray[Any]:
        found = np.empty((size, *first.shape), dtype)
        for i in range(size):
            found[i] = of(by_place[i]) if i in by_place else other(i)
        return found

    def values(i: int) -> npt.NDArray[Any]:
        if i not in by_place:
            return np.tile(array[i][~known[i]].astype(np.float32), (drawn, 1))
        free = ~by_place[i].measured
        return np.asarray(by_place[i].samples)[:, free].reshape(drawn, free.sum())

    kind = np.result_type(*(one.estimate.dtype for one in results), *([array.dtype] if kept else []))
    measured = whole(lambda one: one.measured, known.__getitem__, bool)
    estimate = whole(lambda one: one.estimate, array.__getitem__, kind)
    mean = whole(lambda one: one.mean, array.__getitem__, np.result_type(first.mean.dtype, kind))
    variance = whole(lambda one: one.variance, lambda i: np.where(known[i], 0, guess), np.float32)
    samples = samples_of(np.concatenate([values(i) for i in range(size)], axis=1), ~measured, estimate)
    widths = None
    if all(one.widths is not None for one in results):
        widths = np.ones((len(first.widths), *estimate.shape), np.float32)  # type: ignore[arg-type]
        for i, one in by_place.items():
            widths[:, i] = one.widths
    shared, rest = shared_record([one.provenance for one in results])
    notes = list(dict.fromkeys(note for one in results for note in one.provenance["notes"]))
    if left := [i for i in kept if missing[i].any()]:
        notes.append(f"{outside_the_brain(left)}; it stays as it was, with the variance of a uniform guess")
    provenance = shared | {
        "corruption": f.describe(), "notes": notes, "calibration": _calibration(results), "samples": drawn,
        "slices": [{"index": i} | own for i, own in zip(places, rest, strict=True)],
    }  # fmt: skip
    return Restoration(
        estimate, mean, variance, samples, np.stack([one.latents for one in results]), measured, first.trace,
        provenance, widths,
    )  # fmt: skip


def _calibration(results: Sequence[Restoration]) -> dict[str, Any]:
    """What is told of the intervals of all: that of a slice whose intervals are not calibrated, where there is one."""
    every: list[dict[str, Any]] = [one.provenance["calibration"] for one in results]
    return next((one for one in every if not one.get("applied")), every[0])


def outside_the_brain(slices: Sequence[int]) -> str:
    """Why nothing is restored of slices of a head, by their numbers, ascending.

    Examples
    --------
    >>> outside_the_brain([0, 1, 5, 6, 7])[:44]
    'what is missing of slices 0, 1, 5 to 7 lies '
    """
    runs: list[list[int]] = []
    for i in slices:
        if runs and i == runs[-1][-1] + 1:
            runs[-1].append(i)
        else:
            runs.append([i])
    parts = [f"{run[0]} to {run[-1]}" if len(run) > 2 else ", ".join(map(str, run)) for run in runs]
    which = f"slice{'' if len(slices) == 1 else 's'} {', '.join(parts)}"
    return f"what is missing of {which} lies outside the brain, of which alone the prior knows something"
