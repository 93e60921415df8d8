"""napari layer -> Scan: the inverse of ``scan_layers``, for whoever saves a layer.

The voxels come back in the order and the directions of the file they were read from, so that a layer on its grid has
the file's own affine bit for bit, and one on a finer grid is an exact refinement of it:

    scan affine = layer affine o T        T: index of the file's axes -> index of the last three shown axes
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from napari_brgm.errors import InputError
from napari_brgm.plugin.layers import conversion, linear, stored
from napari_brgm.scan import Scan
from napari_brgm.scans.record import plain

if TYPE_CHECKING:
    from napari.layers import Image

__all__ = ["NOT_PLACED", "on_source_grid", "scan_of", "scan_record", "source_of"]

NOT_PLACED = "the layer does not say where the patient's left and right are: what was on the screen is kept"
_LEADING = frozenset({"time", "t", "volume", "sample"})  # labels of axes that are not of space
_EQUAL = 1e-9  # relative; rounding of a few products is 1e-15


def scan_of(layer: Image) -> Scan:
    """Give the scan that a layer shows; lazy data are computed.

    Returns
    -------
    Scan
        (I, J, K), or (I, J, K, T) with the times or samples in front of the layer's axes of space. A layer that no
        reader of ours opened is placed by its geometry on the screen (head, back, left), and says so in ``notes``.

    Raises
    ------
    InputError
        The layer is in colour or complex, or has more than one axis besides three of space.
    """
    if layer.rgb:
        raise InputError(f"'{layer.name}' is a colour image; choose a layer of one channel")
    array = _in_space(layer)  # (T, slices, rows, columns)
    record = scan_record(layer)
    notes: tuple[str, ...] = ()
    if record:
        order, flips, affine = _as_file(record, array.shape[1:])
    else:
        order, flips, affine = (2, 1, 0), (False, False, False), _placed(layer)
        notes = (NOT_PLACED,)
    space = array.transpose(0, *(axis + 1 for axis in order))
    space = np.flip(space, tuple(axis + 1 for axis, flip in enumerate(flips) if flip))
    made = layer.metadata.get("brgm")
    provenance = plain(made) if isinstance(made, dict) else None
    return Scan(
        space[0] if len(space) == 1 else np.moveaxis(space, 0, -1),
        affine,
        _units(record, provenance or {}),
        layer.name,
        str(record.get("modality") or ""),
        source_of(layer),
        record.get("header"),
        notes,
        provenance,
    )


def source_of(layer: Image) -> Path | None:
    """File or folder that a layer, or the source of a result, was read from; None where it is not known."""
    source = scan_record(layer).get("source") or getattr(layer.source, "path", None)
    return Path(source) if source else None


def on_source_grid(layer: Image, scan: Scan) -> bool:
    """Whether the scan of this layer has the voxels of the file it goes back to."""
    record = scan_record(layer)
    return not record or bool(np.array_equal(record["file_affine"], scan.affine))


def scan_record(layer: Image) -> dict[str, Any]:
    """What our readers noted of a layer's file; empty for layers of others."""
    record = layer.metadata.get("scan")
    if not isinstance(record, dict):
        return {}
    placed = all(np.shape(record.get(key, ())) == (4, 4) for key in ("affine", "file_affine"))
    return record if placed else {}


def _units(record: dict[str, Any], provenance: dict[str, Any]) -> str:
    """Intensity units: those of a variance are squared."""
    units, power = str(record.get("units") or "a.u."), "^2" if provenance.get("role") == "variance" else ""
    told = provenance.get("units")
    return told if isinstance(told, str) and told else units if units.endswith(power) else units + power


def _in_space(layer: Image) -> npt.NDArray[Any]:
    """Data as (leading, slices, rows, columns)."""
    data = np.asarray(stored(layer))
    first = str(layer.axis_labels[0]).lower()
    space = min(3, data.ndim - (1 if data.ndim == 3 and first in _LEADING else 0))
    leading = data.shape[: data.ndim - space]
    if sum(n > 1 for n in leading) > 1:
        raise InputError(f"'{layer.name}' has {data.ndim} axes; files hold three of space and one of time or samples")
    shown = (1,) * (3 - space) + data.shape[data.ndim - space :]
    return data.reshape(int(np.prod(leading, dtype=int)), *shown)


def _as_file(
    record: dict[str, Any], shape: tuple[int, ...]
) -> tuple[tuple[int, ...], tuple[bool, ...], npt.NDArray[np.float64]]:
    """Shown axis of each file axis, whether it runs backwards, and the affine of the file's axes."""
    shown, file = (np.asarray(record[key], dtype=float) for key in ("affine", "file_affine"))
    steps = np.linalg.solve(file[:3, :3], shown[:3, :3])  # file voxels per shown voxel
    of_file = [int(np.argmax(np.abs(steps[:, axis]))) for axis in range(3)]
    if sorted(of_file) != [0, 1, 2]:  # turned since: any order is true
        of_file = [2, 1, 0]
        steps = np.ones((3, 3))
    order = tuple(of_file.index(axis) for axis in range(3))
    flips = tuple(bool(steps[axis, order[axis]] < 0) for axis in range(3))
    affine = np.eye(4)
    origin = np.zeros(3)  # shown index of the first voxel
    for axis in range(3):
        column = shown[:3, order[axis]] * (-1 if flips[axis] else 1)
        same = np.allclose(column, file[:3, axis], rtol=0, atol=_EQUAL * np.linalg.norm(column))
        affine[:3, axis] = file[:3, axis] if same else column
        origin[order[axis]] = shape[order[axis]] - 1 if flips[axis] else 0
    affine[:3, 3] = shown[:3, :3] @ origin + shown[:3, 3]
    if np.array_equal(affine[:3, :3], file[:3, :3]):
        near = np.abs(affine[:3, 3] - file[:3, 3]).max() <= _EQUAL * (1 + np.abs(file[:3, 3]).max())
        affine[:3, 3] = file[:3, 3] if near else affine[:3, 3]
    return order, flips, affine


def _placed(layer: Image) -> npt.NDArray[np.float64]:
    """Affine (columns, rows, slices) -> RAS+ mm of a layer whose world is taken to run to the head, back and left."""
    import pint

    millimetre = pint.get_application_registry().Unit("mm")
    axes = min(3, layer.ndim - (1 if layer.ndim == 3 and str(layer.axis_labels[0]).lower() in _LEADING else 0))
    factors = np.array([conversion(unit, millimetre) or 1.0 for unit in layer.units[-axes:]])
    step, first = np.eye(3), np.zeros(3)
    step[3 - axes :, 3 - axes :] = linear(layer)[-axes:, -axes:] * factors[:, None]
    first[3 - axes :] = np.asarray(layer.data_to_world(np.zeros(layer.ndim)), dtype=float)[-axes:] * factors
    affine = np.eye(4)
    affine[:3, :3], affine[:3, 3] = step[::-1, ::-1], first[::-1]
    return np.diag([-1.0, -1.0, 1.0, 1.0]) @ affine
