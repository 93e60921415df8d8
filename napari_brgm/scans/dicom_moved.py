"""Positions of volumes that were moved a little as a whole, as prospective motion correction does.

    heights along the normal:   |. .. .|        |. . ..|         |... .|       four times at each of three positions

Positions are one where they lie within a quarter of the slice distance, every one has equally many images, and
something else says that these are times and not slices: a key, the order of the instances, or slices much thicker than
the steps between them.
"""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from napari_brgm.errors import ScanError
from napari_brgm.scans.dicom_alike import MOVED
from napari_brgm.scans.dicom_even import is_even
from napari_brgm.scans.dicom_volumes import instance_of, volumes_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from napari_brgm.scans.dicom_frame import DicomFrame

__all__ = ["moved_positions"]

_JUMP = 3.0  # from the steps within a position to those between two


def moved_positions(
    frames: Sequence[DicomFrame], heights: npt.NDArray[np.float64], tight: list[int]
) -> tuple[list[int], tuple[str, ...]]:
    """Where each slice position begins.

    Parameters
    ----------
    frames : sequence of DicomFrame
        By height.
    heights : (N,) ndarray
        Along the normal, mm.
    tight : list of int
        Starts of positions that are equal to rounding, and N.

    Returns
    -------
    starts : list of int
        ``tight``, or fewer; and N.
    notes : tuple of str
        How far the volumes were moved.
    """
    counts = np.diff(tight)
    places = np.array([frames[a].position for a in tight[:-1]])
    if len(tight) < 4 or (len(set(counts.tolist())) == 1 and is_even(places)):
        return tight, ()
    gaps = np.diff(heights)
    steps = np.unique(gaps[gaps > 0])
    jump = int(np.argmax(steps[1:] / steps[:-1])) if len(steps) > 1 else 0
    if len(steps) < 2 or steps[jump + 1] < _JUMP * steps[jump]:
        return tight, ()
    threshold = float(np.sqrt(steps[jump] * steps[jump + 1]))
    starts = [0, *(np.flatnonzero(gaps > threshold) + 1).tolist(), len(heights)]
    widths = np.array([heights[b - 1] - heights[a] for a, b in pairwise(starts)])
    times = set(np.diff(starts).tolist())
    if len(times) > 1 or times == {1} or len(starts) < 3:
        return tight, ()
    middles = np.array([heights[a:b].mean() for a, b in pairwise(starts)])
    distance = float(np.diff(middles).min())
    if widths.max() > MOVED * distance or not _are_times(frames, starts, float(widths.max()), distance):
        return tight, ()
    return starts, (
        f"its volumes were moved by up to {widths.max():.2g} mm along the normal, as motion correction does: "
        "all lie as the first",
    )


def _are_times(frames: Sequence[DicomFrame], starts: list[int], width: float, distance: float) -> bool:
    """Whether images within a position are times of one slice rather than slices of one time."""
    if all(2 * width < frame.thickness and distance / 2 < frame.thickness < 2 * distance for frame in frames):
        return True
    slices = [frames[a:b] for a, b in pairwise(starts)]
    try:
        volumes, notes = volumes_of(slices)
    except ScanError:
        return False
    if notes:
        return False
    spans = [[instance_of(frame) for frame in volume] for volume in volumes]
    return all(max(before) < min(after) for before, after in pairwise(spans))
