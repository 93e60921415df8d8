"""restore_volume(): slices one above the other, restored together; a job of a stack."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_brgm.corruptions import Downsample, Identity, Mask, as_corruption
from napari_brgm.engine.head import Head
from napari_brgm.engine.job import Job, ObservedSlice, Stack
from napari_brgm.engine.joined import joined, outside_the_brain
from napari_brgm.engine.run import run
from napari_brgm.engine.second_scan import SecondScan
from napari_brgm.engine.thin_slices import ThinSlices
from napari_brgm.errors import Cancelled, InputError
from napari_brgm.scans.strip import Brain

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    import numpy.typing as npt

    from napari_brgm.corruptions import Corruption, LinearOperator
    from napari_brgm.engine.alignment import Alignment
    from napari_brgm.engine.restoration import Restoration
    from napari_brgm.inference import Step
    from napari_brgm.priors.prior import Prior
    from napari_brgm.settings import InferenceSettings

__all__ = ["restore_volume"]


def restore_volume(
    volume: npt.ArrayLike, corruption: Corruption, prior: Prior, *, spacing: tuple[float, float, float],
    method: str = "map", samples: int = 32, seed: int = 0, device: str = "auto", noise_sigma: float | None = None,
    settings: InferenceSettings | None = None, alignment: Alignment | None = None,
    second: npt.ArrayLike | None = None, brain: Brain | npt.ArrayLike | None = None,
    callback: Callable[[Step], bool | None] | None = None,
) -> Restoration:  # fmt: skip
    """Restore slices that lie one above the other, so that each knows what its neighbours measured.

    Where the prior does not know how neighbours belong together, or settings or method take one slice at a time, each
    slice is restored by itself, and a note says so.

    Parameters
    ----------
    volume : (K, H, W) array-like
        Slices in the prior's plane, bottom up or top down, in any real units.
    corruption : Corruption
        ``Mask(missing)`` with missing (K, H, W), of which slices may be hidden as a whole; ``Downsample((through, row,
        column))`` for thin slices from thick ones, its kernel the slice profile; or what happened to each slice alike.
    prior : Prior
        From ``load_prior``.
    spacing : (through, row, column) of float
        Distance of neighbouring slices and pixel size of ``volume``, mm.
    method, samples, seed, device, noise_sigma, settings, alignment, callback
        As of ``restore``. The alignment is one for all slices, fitted to a measured one in the middle.
    second : (K, H, W) array-like or None
        As of ``restore``, for ``Mask``; matched to the volume as a whole. Slices of which nothing was measured in
        ``volume`` are restored from their neighbours, without it.
    brain : (K, H, W) Brain or array-like of bool, or None
        Of a whole head, as of ``restore``. Slices of which nothing is missing inside the brain stay as they are, and a
        note names those of which something is missing outside; outside it each thin slice of a thick one holds that
        one's values.

    Returns
    -------
    Restoration
        Its arrays are (K, H, W), of thin slices (K through, H row, W column); sample k of all slices is one stack.
        ``measured`` is false, and the variance that of a uniform guess, also where pixels that are missing or no
        numbers lie outside the brain or in other slices than those restored: there nothing changes.

    Raises
    ------
    InputError, DeviceError, Cancelled
        With one sentence that says what to do, and in which slice. Also where a single slice cannot be restored.
        ``Cancelled.finished`` has the numbers of the slices in ``volume``, or of the thin ones.
    """
    array, f = np.asarray(volume), as_corruption(corruption)
    through, pixel = _checked(array, spacing)
    heads = None if brain is None else _heads(array, f, brain)
    slices, stack, size, own = _observed(array, f, through, pixel, noise_sigma, heads)
    if second is not None:
        slices = _with_second(slices, own, array, f, second, heads)
    job = Job(slices, prior, settings, method, samples, seed, device, alignment, stack)

    def told(step: Step) -> None:
        answer = None if callback is None else callback(step)
        if isinstance(answer, bool | np.bool_) and not answer:
            raise Cancelled(f"stopped after step {step.iteration} of {step.total}")

    def whole(i: int, found: Restoration) -> Restoration:
        return found if heads is None else heads[own[i]].beside(found)

    places = list(range(size)) if stack.thin else own
    title = "thin slice" if stack.thin else "slice"
    results: list[Restoration] = []
    try:
        for i, found in enumerate(run(job, told)):
            if isinstance(found, InputError):
                found.number = i
                raise found
            results.append(whole(i, found))
    except InputError as error:
        if error.number is None:
            raise
        raise InputError(f"{title} {places[error.number]}: {error}") from error
    except Cancelled as stop:
        stop.finished = {places[i]: whole(i, found) for i, found in stop.finished.items()}
        raise
    return joined(array, f, results, places, size)


def _with_second(
    slices: tuple[ObservedSlice, ...], own: list[int], array: npt.NDArray[Any], f: LinearOperator,
    second: npt.ArrayLike, heads: list[Head] | None,
) -> tuple[ObservedSlice, ...]:  # fmt: skip
    """The slices with what another scan saw of their holes."""
    if not isinstance(f, Mask):
        raise InputError("a second scan helps to fill holes; leave it out")
    measured = ~f.missing.numpy()
    if heads is not None:
        measured &= np.stack([head.brain.inside for head in heads])
        array = np.stack([head.stripped for head in heads])
    found = SecondScan.matched(second, array, measured)
    return tuple(
        one if one.image is None else replace(one, second=found.slice(i)) for one, i in zip(slices, own, strict=True)
    )


def _checked(array: npt.NDArray[Any], spacing: Sequence[float]) -> tuple[float, tuple[float, float]]:
    """Distance of slices and pixel size."""
    if array.ndim != 3:
        raise InputError(f"restore_volume takes slices (K, H, W), got an array of shape {array.shape}")
    if array.dtype.kind not in "biuf":
        raise InputError(f"the volume must hold real numbers, got {array.dtype}")
    try:
        mm = np.asarray(spacing, dtype=np.float64)
        usable = mm.shape == (3,) and bool(np.isfinite(mm).all() and (mm > 0).all())
    except (TypeError, ValueError):
        usable = False
    if not usable:
        raise InputError(f"spacing must be three lengths in mm (through, row, column), got {spacing!r}")
    return float(mm[0]), (float(mm[1]), float(mm[2]))


def _heads(array: npt.NDArray[Any], f: LinearOperator, brain: Brain | npt.ArrayLike) -> list[Head]:
    """One of each slice."""
    found = Brain.of(brain)
    if found.inside.shape != array.shape:
        raise InputError(
            f"the brain has the shape {found.inside.shape} but the volume {array.shape}; give that of the volume"
        )
    if not found.inside.any():
        raise InputError("there is no brain in this volume; restore it without stripping")
    missing = f.missing.numpy() if isinstance(f, Mask) and f.missing.shape == array.shape else [None] * len(array)
    return [
        Head(image, Brain(inside, found.found_by), hole)
        for image, inside, hole in zip(array, found.inside, missing, strict=True)
    ]


def _observed(
    array: npt.NDArray[Any], f: LinearOperator, through: float, pixel: tuple[float, float], noise_sigma: float | None,
    heads: list[Head] | None,
) -> tuple[tuple[ObservedSlice, ...], Stack, int, list[int]]:  # fmt: skip
    """Slices, how they lie, how many there will be, and which of the volume's each restoration is of."""
    places = tuple(through * i for i in range(len(array)))
    images = list(array) if heads is None else [head.stripped for head in heads]
    if isinstance(f, Mask):
        if f.missing.shape != array.shape:
            shape = tuple(f.missing.shape)
            raise InputError(f"the mask has the shape {shape} but the volume {array.shape}; give a mask of it")
        holes = _holes(images, f.missing.numpy(), pixel, noise_sigma, heads)
        clear = tuple((places[i], image) for i, image in enumerate(images) if i not in holes)
        return tuple(holes.values()), Stack(tuple(places[i] for i in holes), clear), len(array), list(holes)
    plane: LinearOperator = f
    stack, own = Stack(places), list(range(len(array)))
    if isinstance(f, Downsample) and f.through > 1:
        if (holed := next((i for i, image in enumerate(images) if not np.isfinite(image).all()), None)) is not None:
            where = "" if heads is None else " inside the brain"
            raise InputError(
                f"slice {holed} holds NaN or infinite pixels{where}; of thick slices all pixels{where} are needed"
            )
        thin = ThinSlices(len(array), through, f)
        plane, stack, own = f.in_plane, thin.stack(), [thin.holder(i) for i in range(thin.count)]
    slices = tuple(ObservedSlice(one, lambda: plane, pixel, noise_sigma) for one in images)
    return slices, stack, len(stack.thin or stack.places), own


def _holes(
    images: list[npt.NDArray[Any]], missing: npt.NDArray[np.bool_], pixel: tuple[float, float],
    noise_sigma: float | None, heads: list[Head] | None,
) -> dict[int, ObservedSlice]:  # fmt: skip
    """Slices to be in-painted, by their numbers; without an image where nothing that the prior sees was measured.

    Raises
    ------
    InputError
        There is none.
    """
    hit = [i for i, plane in enumerate(missing) if plane.any()]
    found = {}
    for i in hit:
        seen = np.ones(missing[i].shape, dtype=bool) if heads is None else heads[i].brain.inside
        hole = missing[i] & seen
        if not hole.any():
            continue
        if np.array_equal(hole, seen):
            wanted = Identity if hole.all() else partial(Mask, hole)
            found[i] = ObservedSlice(None, wanted, pixel, noise_sigma)
            continue
        one = ObservedSlice(images[i], partial(Mask, missing[i]), pixel, noise_sigma)
        found[i] = one if heads is None else heads[i].observed(one)
    if not found:
        raise InputError(f"{outside_the_brain(hit)}; mark a part of the brain")
    return found
