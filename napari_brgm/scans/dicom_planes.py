"""Planes: a scan cut into the images of a derived DICOM series, each with its place and the frames it came from.

The images lie as the source's do, unless the scan is one voxel thick along another axis: then they are that plane.
A plane on the source's own grid has the source frame's position to the letter; on a finer grid the affine gives it.

    LPS = diag(-1, -1, 1) @ (affine @ (i, j, k, 1))[:3]
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from napari_brgm.errors import OutputError
from napari_brgm.scans.dicom_header import DicomHeader

if TYPE_CHECKING:
    from napari_brgm.scan import Scan
    from napari_brgm.scans.dicom_frame import DicomFrame
    from napari_brgm.scans.dicom_series import ImageStack

__all__ = ["OTHERWISE", "DicomPlane", "planes_of", "stack_of"]

OTHERWISE = "save it as NIfTI instead"
_LPS = np.diag([-1.0, -1.0, 1.0])
_SKEW = 1e-4  # of unit vectors along rows and columns
_SAME = 1e-6  # of a voxel, between a computed index and a whole one


@dataclass(frozen=True, slots=True, eq=False)
class DicomPlane:
    """One image of a derived series.

    Attributes
    ----------
    values : (rows, columns) ndarray
        In the scan's units.
    template : DicomFrame
        The source frame nearest to it, whose attributes it inherits.
    sources : tuple of DicomFrame
        All source frames it was computed from.
    position : (3,) ndarray
        LPS mm of the centre of the first pixel.
    axes : (2, 3) ndarray
        LPS unit vectors along a row and along a column.
    spacing : (float, float)
        Between rows, between columns, mm.
    step : float
        Distance to the next plane along the normal, mm.
    thickness : float or None
        mm: its slices lie at other distances than the source's, and without gaps; None: that of the source.
    slice, time : int
        From 0.
    own_grid : bool
        Whether its pixels are those of the template.
    """

    values: npt.NDArray[Any]
    template: DicomFrame
    sources: tuple[DicomFrame, ...]
    position: npt.NDArray[np.float64]
    axes: npt.NDArray[np.float64]
    spacing: tuple[float, float]
    step: float
    thickness: float | None
    slice: int
    time: int
    own_grid: bool


def stack_of(scan: Scan) -> ImageStack:
    """Give the source frames of a scan.

    Raises
    ------
    OutputError
        It was not read from DICOM.
    """
    if not isinstance(scan.header, DicomHeader) or scan.header.stack is None:
        raise OutputError(f"'{scan.name}' does not come from a DICOM series; {OTHERWISE}")
    return scan.header.stack


def planes_of(scan: Scan) -> list[DicomPlane]:
    """Cut a scan into images, all slices of the first time first.

    Raises
    ------
    OutputError
        It is not of a DICOM source, has other times than that, or rows and columns that are not perpendicular.
    """
    stack = stack_of(scan)
    times, distance = len(stack.frames), _distance(stack.affine)
    if scan.volumes not in (1, times):
        raise OutputError(
            f"'{scan.name}' has {scan.volumes} volumes and its DICOM source {times}, which DICOM has no place for; "
            f"{OTHERWISE}"
        )
    own_grid = scan.shape[:3] == _shape(stack) and np.allclose(scan.affine, stack.affine, rtol=0, atol=1e-9)
    array, affine = _upright(scan)
    axes, spacing = _directions(scan.name, affine)
    step = _distance(affine)
    thickness = None if np.isclose(step, distance, rtol=_SAME) else step
    planes = []
    for t in range(scan.volumes):
        volume = array if array.ndim == 3 else array[..., t]
        frames = stack.frames[t] if scan.volumes == times else stack.frames[_volume(scan, times)]
        for k in range(array.shape[2]):
            values = volume[:, :, k].T
            if own_grid:
                own = frames[k]
                place = own.position, own.axes, own.spacing
                planes.append(DicomPlane(values, own, (own,), *place, step, None, k, t, True))
                continue
            template, sources = _nearest(frames, np.linalg.solve(stack.affine, affine), values.shape, k)
            position = _LPS @ (affine @ [0, 0, k, 1])[:3]
            planes.append(DicomPlane(values, template, sources, position, axes, spacing, step, thickness, k, t, False))
    return planes


def _upright(scan: Scan) -> tuple[npt.NDArray[Any], npt.NDArray[np.float64]]:
    """Array (columns, rows, slices, ...) and affine of the images: the axis of length 1 last."""
    thin = [axis for axis in range(3) if scan.shape[axis] == 1]
    if 2 in thin or len(thin) != 1:
        return scan.array, scan.affine
    order = [axis for axis in range(3) if axis != thin[0]] + thin
    return scan.array.transpose(*order, *range(3, scan.array.ndim)), scan.affine[:, [*order, 3]]


def _directions(name: str, affine: npt.NDArray[np.float64]) -> tuple[npt.NDArray[np.float64], tuple[float, float]]:
    columns = (_LPS @ affine[:3, :2]).T
    lengths = np.linalg.norm(columns, axis=1)
    axes = columns / lengths[:, None]
    if abs(axes[0] @ axes[1]) > _SKEW:
        raise OutputError(f"the rows and columns of '{name}' are not perpendicular, as DICOM wants them; {OTHERWISE}")
    return axes, (float(lengths[1]), float(lengths[0]))


def _distance(affine: npt.NDArray[np.float64]) -> float:
    """Distance of slices along their normal, mm."""
    normal = np.cross(affine[:3, 0], affine[:3, 1])
    return float(abs(affine[:3, 2] @ normal) / np.linalg.norm(normal))


def _nearest(
    frames: list[DicomFrame], index: npt.NDArray[Any], shape: tuple[int, ...], k: int
) -> tuple[DicomFrame, tuple[DicomFrame, ...]]:
    """Frame in the middle of a plane, and all that it touches; ``index`` maps its indices to those of the source."""
    rows, columns = shape
    corners = np.array([[i, j, k, 1] for i in (0, columns - 1) for j in (0, rows - 1)])
    heights = (corners @ index.T)[:, 2]
    last = len(frames) - 1
    edges = np.floor(heights.min() + _SAME), np.ceil(heights.max() - _SAME), np.round(heights.mean())
    low, high, middle = (int(np.clip(edge, 0, last)) for edge in edges)
    return frames[middle], tuple(frames[min(low, high) : max(low, high) + 1])


def _volume(scan: Scan, times: int) -> int:
    """Volume of a 4-D source that a 3-D result is of: the record has it, or the index of its slices in the source."""
    record = scan.provenance or {}
    slices = record.get("slices")
    first = slices[0] if isinstance(slices, list) and slices and isinstance(slices[0], dict) else {}
    index = first.get("index")
    volume = index[0] if isinstance(index, list) and len(index) == 4 else record.get("volume")
    return volume if isinstance(volume, int) and 0 <= volume < times else 0


def _shape(stack: ImageStack) -> tuple[int, int, int]:
    rows, columns = stack.frames[0][0].shape
    return columns, rows, len(stack.frames[0])
