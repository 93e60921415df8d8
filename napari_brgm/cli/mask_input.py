"""A mask on the grid of a scan: a NIfTI or DICOM file that touches any number of its slices.

Its voxels are the scan's where both lie at one place. A NIfTI scan can have two places (scans/nifti_place.py), and a
program that takes the other one writes masks there: they were painted on the same voxels all the same.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from napari_brgm.cli.masks import MaskRules, SliceMasks, check_shares, mask_record, missing_of
from napari_brgm.cli.terminal import say_note
from napari_brgm.errors import InputError
from napari_brgm.scan import Scan

if TYPE_CHECKING:
    from pathlib import Path

    import numpy.typing as npt

    from napari_brgm.scan import Plane

__all__ = ["read_labels", "read_mask"]

_MOST_REGIONS = 256
_AS_IT_IS = MaskRules()


def read_mask(path: Path, scan: Scan, plane: Plane, index: int | None, rules: MaskRules = _AS_IT_IS) -> SliceMasks:
    """Read a mask on the grid of a scan: of one slice; for None of every slice that it touches.

    Raises
    ------
    InputError, ScanError
        It cannot be read, is no mask, lies on another grid, or marks nothing, everything, or most and nobody is sure.
    """
    flags, between = missing_of(_painted(path, scan).array.reshape(scan.shape), path.name, rules)
    numbered = Scan(flags, scan.affine)
    chosen = range(scan.count(plane)) if index is None else (index,)
    found = {i: numbered.slice(plane, i).image > 0 for i in chosen}
    touched = {i: missing for i, missing in found.items() if missing.any()}
    check_shares(path.name, {f"{plane} slice {i}": missing for i, missing in touched.items()}, rules)
    if not touched:
        where = "" if index is None else f" on {plane} slice {index}"
        raise InputError(f"the mask {path.name} is empty{where}; mark the region to restore")
    across = tuple(axis for axis in range(3) if axis != scan.axis_across(plane))
    elsewhere = frozenset(np.flatnonzero(flags.any(axis=across)).tolist()) - touched.keys()
    return SliceMasks(touched, mask_record(rules, between), elsewhere)


def read_labels(path: Path, scan: Scan) -> npt.NDArray[np.int64]:
    """Read regions on the grid of a scan, (I, J, K): 0 is none, other whole numbers are the labels of regions.

    Raises
    ------
    InputError, ScanError
        It cannot be read, lies on another grid, has no region or values that are no labels.
    """
    array = np.asarray(_painted(path, scan, "file of regions").array.reshape(scan.shape))
    if not np.isfinite(array).all():
        raise InputError(
            f"{path.name} holds values that are no numbers; give whole numbers, 0 outside and 1, 2 ... inside"
        )
    labels: npt.NDArray[np.int64] = np.rint(array).astype(np.int64)
    if not np.array_equal(labels, array) or (labels < 0).any() or not labels.any():
        raise InputError(f"{path.name} holds no regions: give whole numbers, 0 outside and 1, 2 ... inside")
    if len(np.unique(labels)) > _MOST_REGIONS:
        raise InputError(
            f"{path.name} holds more than {_MOST_REGIONS} regions; give a file of labels, not of intensities"
        )
    return labels


def _painted(path: Path, scan: Scan, what: str = "mask") -> Scan:
    """What was painted on the grid of a scan; InputError where it lies elsewhere."""
    from napari_brgm.scans import read_scan

    masks = read_scan(path)
    if len(masks) != 1 or masks[0].volumes != 1:
        raise InputError(f"{path.name} must hold one 3-D {what}; save it as one NIfTI volume")
    mask = masks[0]
    if mask.shape[:3] != scan.shape:
        raise InputError(
            f"the {what} {path.name} has {_times(mask.shape[:3])} voxels but the scan {_times(scan.shape)}; "
            "it must be painted on the same grid"
        )
    _check_place(f"{what} {path.name}", mask, scan)
    return mask


def _check_place(name: str, mask: Scan, scan: Scan) -> None:
    """Refuse a mask that lies elsewhere; note one that lies where another form of a header has it."""
    from napari_brgm.scans.nifti_place import apart, other_place, same_place

    if same_place(scan.affine, mask.affine, scan.shape):
        return
    others = [other_place(scan.header), other_place(mask.header)]
    for one, other, which in (
        (others[0], mask.affine, "scan's"), (scan.affine, others[1], "mask's"), (others[0], others[1], "files'"),
    ):  # fmt: skip
        if one is not None and other is not None and same_place(one, other, scan.shape):
            where = f"where the {which} qform has it, not where the sform does"
            say_note(f"the {name} lies {where}; it is taken as painted on the same voxels")
            return
    distance = apart(scan.affine, mask.affine, scan.shape)
    two = "; of the two places that the scan has, sform and qform, it lies at neither" if others[0] is not None else ""
    raise InputError(
        f"the {name} lies elsewhere in space than the scan (their affines differ, by {distance:.3g} mm){two}; "
        "paint it on the same scan, or resample it to that grid"
    )


def _times(shape: tuple[int, ...]) -> str:
    return " x ".join(map(str, shape))
