"""Stacks of DICOM frames: which frames form one scan, in which order, and its affine.

    affine (RAS) = diag(-1, -1, 1, 1) @ [axes[0] * column spacing | axes[1] * row spacing | step | first position] (LPS)

The step between slices is the difference of their positions, so that a tilted gantry keeps its shear; SliceThickness
and SpacingBetweenSlices are not read. Slices are sorted along the normal, times by temporal position, acquisition,
instance.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from napari_brgm.errors import ScanError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from napari_brgm.scans.dicom_frame import DicomFrame

__all__ = ["Stack", "stacks_of"]

_SAME_POSITION = 0.01  # mm along the normal
_SAME_DIRECTION = 1e-3  # of unit vectors
_UNEVEN = 0.1  # of the slice distance: rounded positions stay below, a missing slice is 1


@dataclass(frozen=True, slots=True, eq=False)
class Stack:
    """Frames of one scan, ``frames[t][k]`` at time t and slice k, its affine (4, 4) to RAS+ mm, what is doubtful."""

    frames: list[list[DicomFrame]]
    affine: npt.NDArray[np.float64]
    notes: tuple[str, ...] = ()


def stacks_of(frames: Sequence[DicomFrame]) -> tuple[list[Stack], list[str]]:
    """Group frames into evenly spaced stacks, in the order in which they first appear.

    Returns
    -------
    stacks : list of Stack
    problems : list of str
        A sentence for each group that could not be stacked.
    """
    stacks: list[Stack] = []
    problems: list[str] = []
    for group in _groups(frames):
        try:
            stacks.extend(_stacks(group))
        except ScanError as error:
            problems.append(str(error))
    return stacks, problems


def _groups(frames: Sequence[DicomFrame]) -> list[list[DicomFrame]]:
    groups: dict[object, list[list[DicomFrame]]] = {}
    for frame in frames:
        alike = groups.setdefault((frame.kind, frame.shape, frame.spacing), [])
        for group in alike:
            if np.abs(group[0].axes - frame.axes).max() < _SAME_DIRECTION:
                group.append(frame)
                break
        else:
            alike.append([frame])
    return [group for alike in groups.values() for group in alike]


def _stacks(group: list[DicomFrame]) -> list[Stack]:
    normal = np.cross(group[0].axes[0], group[0].axes[1])
    heights = np.array([frame.position @ normal for frame in group])
    by_height = [group[i] for i in np.argsort(heights, kind="stable")]
    heights = np.sort(heights)
    starts = [0, *(np.flatnonzero(np.diff(heights) > _SAME_POSITION) + 1), len(group)]
    for a, b in pairwise(starts):
        if len(_side_by_side(by_height[a:b])) > 1:
            return [stack for part in _side_by_side(group) for stack in _stacks(part)]
    slices = [sorted(by_height[a:b], key=lambda frame: frame.order) for a, b in pairwise(starts)]
    count, notes = _complete_volumes(slices)
    slices = [times[:count] for times in slices]
    positions = np.array([times[0].position for times in slices])  # (K, 3)
    runs = _even_runs(positions)
    if len(runs) > 1:
        gaps = np.linalg.norm(np.diff(positions, axis=0), axis=1)
        notes += (
            f"slices are missing or unevenly spaced ({gaps.min():.4g} to {gaps.max():.4g} mm apart): "
            f"the series was split into {len(runs)} evenly spaced parts",
        )
    return [
        Stack([[times[t] for times in slices[a:b]] for t in range(count)], _affine(group[0], positions[a:b]), notes)
        for a, b in runs
    ]


def _side_by_side(group: list[DicomFrame]) -> list[list[DicomFrame]]:
    """Part frames that are shifted within their plane, as the stations of a spine are."""
    parts: list[list[DicomFrame]] = []
    for frame in group:
        for part in parts:
            shift = frame.axes @ (frame.position - part[0].position)
            if np.abs(shift).max() < min(frame.spacing) / 2:
                part.append(frame)
                break
        else:
            parts.append([frame])
    return parts


def _complete_volumes(slices: list[list[DicomFrame]]) -> tuple[int, tuple[str, ...]]:
    """Count the volumes that have every slice."""
    counts = [len(times) for times in slices]
    count = min(counts)
    if count == max(counts):
        return count, ()
    # the images of a run stopped early: volume after volume, the last one short
    last = [max(times[t].order for times in slices if t < len(times)) for t in range(max(counts))]
    first = [min(times[t].order for times in slices if t < len(times)) for t in range(max(counts))]
    if max(counts) == count + 1 and all(a < b for a, b in zip(last[:-1], first[1:], strict=True)):
        return count, ("the last volume is incomplete and was left out",)
    total = sum(counts)
    raise ScanError(
        f"a series has {total} images at {len(slices)} slice positions, between {count} and {max(counts)} at each; "
        "images are missing: copy or export the series again"
    )


def _even_runs(positions: npt.NDArray[np.float64]) -> list[tuple[int, int]]:
    """Longest runs [start, stop) of evenly spaced positions (K, 3), the longest first choosing, in order."""
    number = len(positions)
    if _is_even(positions):
        return [(0, number)]
    gaps = np.linalg.norm(np.diff(positions, axis=0), axis=1)
    changes = np.flatnonzero(np.abs(np.diff(gaps)) > _UNEVEN * np.minimum(gaps[1:], gaps[:-1])) + 1
    edges = [0, *changes.tolist(), number - 1]
    free = np.ones(number, dtype=bool)
    runs = []
    for a, b in sorted(pairwise(edges), key=lambda run: run[0] - run[1]):
        left = [k for k in range(a, b + 1) if free[k]]
        if len(left) > 1 and _is_even(positions[left[0] : left[-1] + 1]):
            free[left] = False
            runs.append((left[0], left[-1] + 1))
    runs += [(int(k), int(k) + 1) for k in np.flatnonzero(free)]
    return sorted(runs)


def _is_even(positions: npt.NDArray[np.float64]) -> bool:
    if len(positions) < 3:
        return True
    step = (positions[-1] - positions[0]) / (len(positions) - 1)
    line = positions[0] + np.arange(len(positions))[:, None] * step
    return bool(np.abs(positions - line).max() <= _UNEVEN * np.linalg.norm(step))


def _affine(frame: DicomFrame, positions: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    affine = np.eye(4)
    affine[:3, 0] = frame.axes[0] * frame.spacing[1]
    affine[:3, 1] = frame.axes[1] * frame.spacing[0]
    if len(positions) > 1:
        affine[:3, 2] = (positions[-1] - positions[0]) / (len(positions) - 1)
    else:  # no difference to take: the width of the one slice
        affine[:3, 2] = np.cross(frame.axes[0], frame.axes[1]) * frame.thickness
    affine[:3, 3] = positions[0]
    return np.diag([-1.0, -1.0, 1.0, 1.0]) @ affine
