"""Resampled: a scan on the voxels of another one of the same patient, by what their affines say."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import nibabel as nib
import numpy as np
from nibabel.processing import resample_from_to
from scipy import ndimage

from napari_brgm.errors import InputError

if TYPE_CHECKING:
    import numpy.typing as npt

    from napari_brgm.scan import Scan

__all__ = ["resampled_onto"]

_WHOLE = 0.99  # of what a voxel is interpolated from was measured


def resampled_onto(second: Scan, first: Scan, missing: npt.NDArray[np.bool_] | None = None) -> Scan:
    """Bring a scan to the voxels of another one: cubic splines, after a Gaussian where its own are finer.

    Nothing is registered here: the two are taken to lie as their affines say.

    Parameters
    ----------
    second : Scan
        (I, J, K) of the same patient, in the same scanner coordinates.
    first : Scan
    missing : (I, J, K) bool ndarray or None
        Voxels of ``second`` that are not to be used, besides those that are no numbers.

    Returns
    -------
    Scan
        float32, ``second``'s values on ``first``'s voxels; no number where it saw nothing.

    Raises
    ------
    InputError
        One of them has a time axis, or they share no voxel.
    """
    if second.array.ndim != 3 or first.array.ndim != 3:
        raise InputError("two scans are compared volume by volume; choose one volume of a series over time")
    values, affine = second.array.astype(np.float32), second.affine
    seen = np.isfinite(values) if missing is None else np.isfinite(values) & ~missing
    if not seen.any():
        raise InputError("nothing of the second scan was measured")
    nearest = ndimage.distance_transform_edt(~seen, return_distances=False, return_indices=True)
    values = values[tuple(nearest)]  # splines would carry what is no number everywhere
    values, seen, affine = _thick_enough(values, seen, affine)
    ratio = np.linalg.norm(np.linalg.inv(affine[:3, :3]) @ first.affine[:3, :3], axis=1)  # its voxels in one of first's
    sigma = np.sqrt(np.maximum(ratio**2 - 1, 0)) / np.sqrt(12)  # of a box of first's size beside its own
    values = ndimage.gaussian_filter(values, sigma) if sigma.any() else values
    values, seen, affine = _with_rim(values, seen, affine)
    target = (first.shape, first.affine)
    image = _on(values, affine, target, order=3, outside=np.nan)
    share = _on(seen.astype(np.float32), affine, target, order=1, outside=0.0)
    found = np.where(share >= _WHOLE, image, np.float32(np.nan))
    if not np.isfinite(found).any():
        raise InputError(
            "the two scans have no place in common; are they of one patient, in one scanner's coordinates?"
        )
    return replace(second, array=found, affine=first.affine.copy(), header=None)


def _with_rim(
    values: npt.NDArray[np.float32], seen: npt.NDArray[np.bool_], affine: npt.NDArray[np.float64]
) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.bool_], npt.NDArray[np.float64]]:
    """One voxel more on every side, not seen: outermost ones are found where rounding puts them just outside."""
    affine = affine.copy()
    affine[:3, 3] -= affine[:3, :3].sum(axis=1)
    return np.pad(values, 1, mode="reflect"), np.pad(seen, 1), affine


def _on(
    values: npt.NDArray[np.float32], affine: npt.NDArray[np.float64],
    target: tuple[tuple[int, ...], npt.NDArray[np.float64]], *, order: int, outside: float,
) -> npt.NDArray[np.float32]:  # fmt: skip
    image: Any = nib.Nifti1Image(values, affine)  # type: ignore[no-untyped-call]
    found: Any = resample_from_to(image, target, order=order, mode="constant", cval=outside)  # type: ignore[no-untyped-call]
    return np.asarray(found.dataobj, np.float32)


def _thick_enough(
    values: npt.NDArray[np.float32], seen: npt.NDArray[np.bool_], affine: npt.NDArray[np.float64]
) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.bool_], npt.NDArray[np.float64]]:
    """A single slice twice, half its thickness to either side: it fills that, where a grid has no extent."""
    affine = affine.copy()
    for axis in range(3):
        if values.shape[axis] == 1:
            values, seen = np.repeat(values, 2, axis=axis), np.repeat(seen, 2, axis=axis)
            affine[:3, 3] -= affine[:3, axis] / 2
    return values, seen, affine
