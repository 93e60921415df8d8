"""restore_volume(): slices one above the other, restored together; a job of a stack."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_brgm.corruptions import Downsample, Mask, as_corruption
from napari_brgm.engine.job import Job, ObservedSlice, Stack
from napari_brgm.engine.provenance import shared_record
from napari_brgm.engine.restoration import Restoration
from napari_brgm.engine.run import run
from napari_brgm.engine.thin_slices import ThinSlices
from napari_brgm.errors import Cancelled, InputError
from napari_brgm.samples import samples_of

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    import numpy.typing as npt

    from napari_brgm.corruptions import Corruption, LinearOperator
    from napari_brgm.engine.alignment import Alignment
    from napari_brgm.inference import Step
    from napari_brgm.priors.prior import Prior
    from napari_brgm.settings import InferenceSettings

__all__ = ["restore_volume"]


def restore_volume(
    volume: npt.ArrayLike, corruption: Corruption, prior: Prior, *, spacing: tuple[float, float, float],
    method: str = "map", samples: int = 32, seed: int = 0, device: str = "auto", noise_sigma: float | None = None,
    settings: InferenceSettings | None = None, alignment: Alignment | None = None,
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

    Returns
    -------
    Restoration
        Its arrays are (K, H, W), of thin slices (K through, H row, W column); sample k of all slices is one stack.

    Raises
    ------
    InputError, DeviceError, Cancelled
        With one sentence that says what to do. Also where a single slice cannot be restored.
    """
    array, f = np.asarray(volume), as_corruption(corruption)
    through, pixel = _checked(array, spacing)
    slices, stack, size = _observed(array, f, through, pixel, noise_sigma)
    job = Job(slices, prior, settings, method, samples, seed, device, alignment, stack)

    def told(step: Step) -> None:
        answer = None if callback is None else callback(step)
        if isinstance(answer, bool | np.bool_) and not answer:
            raise Cancelled(f"stopped after step {step.iteration} of {step.total}")

    results: list[Restoration] = []
    for i, found in enumerate(run(job, told)):
        if isinstance(found, InputError):
            which = f"thin slice {i}" if stack.thin else f"slice {i} of those to restore"
            raise InputError(f"{which}: {found}") from found
        results.append(found)
    places = list(range(size)) if stack.thin else [round(at / through) for at in stack.places]
    return _stacked(array, f, results, places, size)


def _checked(array: npt.NDArray[Any], spacing: Sequence[float]) -> tuple[float, tuple[float, float]]:
    """Distance of slices and pixel size."""
    if array.ndim != 3:
        raise InputError(f"restore_volume takes slices (K, H, W), got an array of shape {array.shape}")
    try:
        mm = np.asarray(spacing, dtype=np.float64)
        usable = mm.shape == (3,) and bool(np.isfinite(mm).all() and (mm > 0).all())
    except (TypeError, ValueError):
        usable = False
    if not usable:
        raise InputError(f"spacing must be three lengths in mm (through, row, column), got {spacing!r}")
    return float(mm[0]), (float(mm[1]), float(mm[2]))


def _observed(
    array: npt.NDArray[Any], f: LinearOperator, through: float, pixel: tuple[float, float], noise_sigma: float | None
) -> tuple[tuple[ObservedSlice, ...], Stack, int]:
    """Slices, how they lie, and how many there will be."""
    places = tuple(through * i for i in range(len(array)))
    if isinstance(f, Mask):
        missing = f.missing.numpy()
        if missing.shape != array.shape:
            raise InputError(f"the mask has the shape {missing.shape} but the volume {array.shape}; give a mask of it")
        hidden = [i for i, plane in enumerate(missing) if plane.any()]
        slices = tuple(
            ObservedSlice(
                None if missing[i].all() else array[i], partial(Mask, missing[i]), pixel, noise_sigma
            )
            for i in hidden
        )  # fmt: skip
        clear = tuple((places[i], array[i]) for i in range(len(array)) if i not in set(hidden))
        return slices, Stack(tuple(places[i] for i in hidden), clear), len(array)
    plane: LinearOperator = f
    stack = Stack(places)
    if isinstance(f, Downsample) and f.through > 1:
        if array.dtype.kind == "f" and not (finite := np.isfinite(array).all(axis=(1, 2))).all():
            raise InputError(
                f"slice {int(finite.argmin())} holds NaN or infinite pixels; of thick slices all pixels are needed"
            )
        plane, stack = f.in_plane, ThinSlices(len(array), through, f).stack()
    slices = tuple(ObservedSlice(one, lambda: plane, pixel, noise_sigma) for one in array)
    return slices, stack, len(stack.thin or stack.places)


def _stacked(
    array: npt.NDArray[Any], f: LinearOperator, results: list[Restoration], places: list[int], size: int
) -> Restoration:
    """One result of those of its slices; the others are what was measured."""
    first = results[0]
    plane = first.estimate.shape
    untouched = np.ones(size, dtype=bool)
    untouched[places] = False
    kind = np.result_type(*(one.estimate.dtype for one in results), *([array.dtype] if untouched.any() else []))

    def whole(parts: Sequence[npt.NDArray[Any]], measured: npt.NDArray[Any] | float, dtype: Any) -> npt.NDArray[Any]:
        found = np.empty((size, *plane), dtype)
        if untouched.any():
            found[untouched] = measured
        for i, part in zip(places, parts, strict=True):
            found[i] = part
        return found

    kept: Any = array[untouched] if untouched.any() else 0.0
    measured = whole([one.measured for one in results], True, bool)
    estimate = whole([one.estimate for one in results], kept, kind)
    drawn = len(first.samples)
    values = np.concatenate(
        [np.asarray(one.samples)[:, ~one.measured].reshape(drawn, (~one.measured).sum()) for one in results], axis=1
    )  # fmt: skip
    widths = None
    if all(one.widths is not None for one in results):
        widths = np.ones((len(first.widths), size, *plane), np.float32)  # type: ignore[arg-type]
        for i, one in zip(places, results, strict=True):
            widths[:, i] = one.widths
    shared, rest = shared_record([one.provenance for one in results])
    notes = list(dict.fromkeys(note for one in results for note in one.provenance["notes"]))
    calibration = first.provenance["calibration"]
    provenance = shared | {
        "corruption": f.describe(), "notes": notes, "calibration": calibration, "samples": drawn,
        "slices": [{"index": i} | own for i, own in zip(places, rest, strict=True)],
    }  # fmt: skip
    return Restoration(
        estimate, whole([one.mean for one in results], kept, np.result_type(first.mean.dtype, kind)),
        whole([one.variance for one in results], 0.0, np.float32), samples_of(values, ~measured, estimate),
        np.stack([one.latents for one in results]), measured, first.trace, provenance, widths,
    )  # fmt: skip
