"""Stacks of DICOM frames: which frames form one scan, in which order, and its affine.

    affine (RAS) = diag(-1, -1, 1, 1) @ [axes[0] * column spacing | axes[1] * row spacing | step | first position] (LPS)

The step between slices is the difference of their positions, so that a tilted gantry keeps its shear; SliceThickness
and SpacingBetweenSlices are not read. Slices are sorted along the normal; ``dicom_volumes`` sorts the images at each
position, ``dicom_alike`` says what counts as equal.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from napari_brgm.errors import ScanError
from napari_brgm.scans.dicom_alike import DIRECTION, ECHO, IN_PLANE, MOVED, POSITION, labels_of, size_tolerance
from napari_brgm.scans.dicom_elements import number_of
from napari_brgm.scans.dicom_even import even_runs, is_even, rounding_of
from napari_brgm.scans.dicom_moved import moved_positions
from napari_brgm.scans.dicom_volumes import parted, volumes_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from napari_brgm.scans.dicom_frame import DicomFrame

__all__ = ["ImageStack", "stacks_of"]

_TOLD = 1e-3  # of unit vectors: rounding stays below, and is not worth a note


@dataclass(frozen=True, slots=True, eq=False)
class ImageStack:
    """Frames of one scan, ``frames[t][k]`` at time t and slice k, its affine (4, 4) to RAS+ mm, what is doubtful."""

    frames: list[list[DicomFrame]]
    affine: npt.NDArray[np.float64]
    notes: tuple[str, ...] = ()


def stacks_of(frames: Sequence[DicomFrame]) -> tuple[list[ImageStack], list[str]]:
    """Group frames into evenly spaced stacks, in the order in which they first appear; echoes by number and time.

    Returns
    -------
    stacks : list of ImageStack
    problems : list of str
        A sentence for each group that could not be stacked.
    """
    stacks: list[ImageStack] = []
    problems: list[str] = []
    for group in _groups(frames):
        try:
            stacks.extend(_stacks(group))
        except ScanError as error:
            problems.append(str(error))
    return stacks, problems


def _groups(frames: Sequence[DicomFrame]) -> list[list[DicomFrame]]:
    """Frames of one kind, matrix, pixel size, direction and echo time."""
    alike: dict[object, list[DicomFrame]] = {}
    for frame in frames:
        alike.setdefault((frame.kind, frame.shape), []).append(frame)
    groups: list[list[DicomFrame]] = []
    for several in alike.values():
        scale = size_tolerance(several[0].shape)
        points = np.array(
            [
                [*(np.log(frame.spacing) / scale), *(frame.axes.ravel() / DIRECTION), np.log(frame.echo or 1e-9) / ECHO]
                for frame in several
            ]
        )
        groups += _by_label(several, labels_of(points))
    return _echoes_in_order(groups)


def _echoes_in_order(groups: list[list[DicomFrame]]) -> list[list[DicomFrame]]:
    """The groups, those that differ in their echo alone in its order, whatever their files are called."""
    families: dict[object, list[int]] = {}
    for index, (first, *_) in enumerate(groups):
        families.setdefault((first.kind._replace(echo_number=""), first.shape), []).append(index)
    ordered = list(groups)
    for places in families.values():
        for place, group in zip(places, sorted((groups[place] for place in places), key=_echo), strict=True):
            ordered[place] = group
    return ordered


def _echo(group: list[DicomFrame]) -> tuple[float, float]:
    return number_of(group[0].kind.echo_number) or 0.0, group[0].echo


def _by_label(frames: Sequence[DicomFrame], labels: npt.NDArray[np.int64]) -> list[list[DicomFrame]]:
    parts: list[list[DicomFrame]] = [[] for _ in range(int(labels.max()) + 1)]
    for frame, label in zip(frames, labels, strict=True):
        parts[label].append(frame)
    return parts


def _stacks(group: list[DicomFrame]) -> list[ImageStack]:
    normal = np.cross(*group[0].axes)
    heights = np.array([frame.position @ normal for frame in group])
    by_height = [group[i] for i in np.argsort(heights, kind="stable")]
    heights = np.sort(heights)
    tight = _starts(heights, POSITION * min(group[0].spacing))
    starts, notes = moved_positions(by_height, heights, tight)
    distance = (heights[-1] - heights[0]) / (len(starts) - 2) if len(starts) > 2 else 0.0
    reach = max(IN_PLANE * min(group[0].spacing), MOVED * distance if notes else 0.0)
    plane = np.array([frame.axes @ frame.position for frame in by_height])  # (N, 2)
    firsts = np.repeat(starts[:-1], np.diff(starts))
    if np.abs(plane - plane[firsts]).max() >= reach:
        parts = _by_label(by_height, labels_of(plane / reach))
        if len(parts) > 1:
            told = "images lie side by side in their plane: each place is a scan of its own"
            return [replace(stack, notes=(*stack.notes, told)) for part in parts for stack in _stacks(part)]
    volumes, doubts = volumes_of([by_height[a:b] for a, b in pairwise(starts)])
    notes += doubts + _turned(group) + _all_in_one_place(volumes)
    positions = np.array([frame.position for frame in volumes[0]])  # (K, 3)
    runs = even_runs(positions)
    if len(runs) > 1:
        for parts in parted(group):
            if all(is_even(_sorted_positions(part, normal)) and len(part) > 2 for part in parts):
                told = "its volumes lie too far apart for one grid: each is a scan of its own"
                return [replace(stack, notes=(*stack.notes, told)) for part in parts for stack in _stacks(part)]
        gaps = np.linalg.norm(np.diff(positions, axis=0), axis=1)
        notes += (
            f"slices are missing or unevenly spaced ({gaps.min():.4g} to {gaps.max():.4g} mm apart): "
            f"the series was split into {len(runs)} evenly spaced parts",
        )
    notes += _rounded([positions[a:b] for a, b in runs])
    return [
        ImageStack([volume[a:b] for volume in volumes], _affine(volumes[0][0], positions[a:b]), notes) for a, b in runs
    ]


def _starts(heights: npt.NDArray[np.float64], tolerance: float) -> list[int]:
    """Where in sorted heights a new position begins, and their number."""
    return [0, *(np.flatnonzero(np.diff(heights) > tolerance) + 1).tolist(), len(heights)]


def _sorted_positions(frames: Sequence[DicomFrame], normal: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    positions = np.array([frame.position for frame in frames])
    return np.asarray(positions[np.argsort(positions @ normal)])


def _turned(group: Sequence[DicomFrame]) -> tuple[str, ...]:
    """A note where the images of a stack are turned a little against each other."""
    axes = np.array([frame.axes for frame in group])
    most = float(np.abs(axes - axes[0]).max())
    if most < _TOLD:
        return ()
    return (f"its images are turned against each other by up to {np.degrees(most):.2g} degrees: all lie as the first",)


def _rounded(runs: Sequence[npt.NDArray[np.float64]]) -> tuple[str, ...]:
    """A note where positions are even but for their rounding."""
    for positions in runs:
        unit = rounding_of(positions)
        if unit:
            gaps = np.linalg.norm(np.diff(positions, axis=0), axis=1)
            mean = np.linalg.norm(positions[-1] - positions[0]) / len(gaps)
            return (
                f"positions are rounded to {unit:g} mm: slices {gaps.min():.4g} to {gaps.max():.4g} mm apart are "
                f"taken as even, {mean:.4g} mm apart",
            )
    return ()


def _all_in_one_place(volumes: list[list[DicomFrame]]) -> tuple[str, ...]:
    """A note where images share one position, and slice locations say that they should not."""
    if len(volumes) == 1 or len(volumes[0]) > 1:
        return ()
    locations = {number_of(volume[0].dataset.get("SliceLocation")) for volume in volumes}
    if len(locations) == 1:
        return ()
    return ("its images have one position and different slice locations: they are taken as times, and may be slices",)


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
