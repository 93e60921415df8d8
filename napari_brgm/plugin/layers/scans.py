"""Scan <-> napari layer.

A scan is shown by axial slices as radiologists look at them. napari cannot slice along oblique axes, so it lies on a
diagonal scale: its axes run to the head, to the back and to the patient's left (slider, rows, columns), and an oblique
scan is turned about its centre to the nearest axes. What the file said stays in ``layer.metadata["scan"]``; the record
of one of our own results is again in ``layer.metadata["brgm"]``.

Back, the voxels come in the order and the directions of the file they were read from, so that a layer on its grid has
the file's own affine bit for bit, and one on a finer grid is an exact refinement of it:

    scan affine = layer affine o T        T: index of the file's axes -> index of the last three shown axes
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from napari_brgm.errors import InputError
from napari_brgm.plugin.layers.file_axes import FileAxes, count_of_space
from napari_brgm.plugin.layers.naming import name_of_source, result_name, role_in_words
from napari_brgm.plugin.layers.shown import check_unmasked, conversion, linear, stored
from napari_brgm.scan import Scan, nearest_axes
from napari_brgm.scans.record import plain

if TYPE_CHECKING:
    from collections.abc import Mapping

    from napari.layers import Image
    from napari.utils.colormaps import DirectLabelColormap

__all__ = [
    "NOT_PLACED", "axes_in_file", "image_layer", "mask_colours", "mask_layer", "on_source_grid", "result_settings",
    "robust_limits", "scan_of", "scan_record", "shown_affine", "source_of",
]  # fmt: skip

NOT_PLACED = "the layer does not say where the patient's left and right are: what was on the screen is kept"
_EQUAL = 1e-9  # relative; rounding of a few products is 1e-15

# world axis (x, y, z), direction in which the display runs, and its name
_HEAD, _BACK, _LEFT, _FEET = (2, 1, "I-S"), (1, -1, "A-P"), (0, -1, "R-L"), (2, -1, "S-I")
_PLANES = {2: (_HEAD, _BACK, _LEFT), 1: (_BACK, _FEET, _LEFT), 0: (_LEFT, _FEET, _BACK)}  # by the slider's world axis


def image_layer(scan: Scan, *, flat: bool = True) -> tuple[npt.NDArray[Any], dict[str, Any], str]:
    """Layer data of a scan: (slices, rows, columns), (volumes, slices, rows, columns), or (rows, columns) for K = 1.

    A scan that is one slice thick is shown in its own plane, unless ``flat`` is false; any other one by its axial
    slices. The mask of a run is a labels layer.
    """
    array, geometry, affine = _displayed(scan, flat=flat)
    record = {
        "affine": affine,  # (4, 4) index of the last three shown axes -> RAS+ mm; a 2-D image has slice 0
        "file_affine": np.array(scan.affine),  # (4, 4) index of the file's own axes -> RAS+ mm
        "header": scan.header,
        "units": scan.units,
        "modality": scan.modality,
        "source": None if scan.source is None else str(scan.source),
    }
    settings = geometry | {
        "name": scan.name or "scan",
        "rgb": False,
        "colormap": "gray",
        "contrast_limits": robust_limits(array),
        "metadata": {"scan": record},
    }
    if scan.provenance is not None:
        settings |= result_settings(scan.provenance, scan.array, scan.units, scan.name)
        settings["metadata"] = {"scan": record, "brgm": scan.provenance}
        if scan.provenance.get("role") == "mask":
            own = geometry | {key: settings[key] for key in ("name", "metadata")}
            return (array != 0).astype(np.uint8), own | {"opacity": 0.6, "colormap": mask_colours()}, "labels"
    return array, settings, "image"


def mask_layer(scan: Scan, mask: npt.NDArray[np.bool_], name: str) -> tuple[npt.NDArray[np.uint8], dict[str, Any], str]:
    """Labels layer on a scan of one slice; mask (H, W) in display orientation, true where missing."""
    _, geometry, _ = _displayed(scan)
    settings = geometry | {"name": name, "opacity": 0.6, "colormap": mask_colours()}
    return mask.astype(np.uint8), settings, "labels"


def mask_colours() -> DirectLabelColormap:
    """One colour for all labels: whatever is painted is missing."""
    from napari.utils.colormaps import DirectLabelColormap

    return DirectLabelColormap(color_dict={None: (1.0, 0.35, 0.3, 1.0), 0: (0.0, 0.0, 0.0, 0.0)})


def robust_limits(array: npt.NDArray[Any]) -> tuple[float, float]:
    """Contrast limits that a few bright voxels or a wide background do not spoil.

    Up to 99.8 % of the values above the background (the lowest value), from it or, where it is negative as in CT, from
    0.5 % of those values.
    """
    values = np.asarray(array[tuple(slice(None, None, max(1, n // 96)) for n in array.shape)], dtype=float).ravel()
    values = values[np.isfinite(values)]
    background = float(values.min()) if values.size else 0.0
    values = values[values > background]
    if not values.size:
        return background, background + 1.0
    low, high = (float(v) for v in np.percentile(values, (0.5, 99.8)))
    low = background if background >= 0 else low
    return low, max(high, low + 1e-6 * abs(low) + 1e-12)


def result_settings(record: Mapping[str, Any], array: npt.NDArray[Any], units: str, name: str) -> dict[str, Any]:
    """How a result read from a file is shown: marked as synthetic, an uncertainty as the tint it was."""
    from napari_brgm.plugin.layers.results import UNCERTAINTIES, tint

    told = dict(record)
    if "role" not in told and units.endswith("^2"):  # of the shell
        told["role"] = "variance"
    source = str(told.get("source_layer") or name_of_source(name or "scan"))
    settings: dict[str, Any] = {"name": result_name(role_in_words(told), source)}
    if told.get("role") in UNCERTAINTIES:
        greatest = float(np.nanmax(array))
        limits = (0.0, greatest if greatest > 0 else 1.0)
        settings |= {"colormap": tint(), "contrast_limits": limits, "blending": "translucent"}
    return settings


def _displayed(scan: Scan, *, flat: bool = True) -> tuple[npt.NDArray[Any], dict[str, Any], npt.NDArray[np.float64]]:
    """View of the array in display order, its geometry, and the affine of its last three axes."""
    nearest, signs = nearest_axes(scan.affine)
    thin = [world for world in (2, 1, 0) if scan.array.shape[nearest[world]] == 1]
    flat = flat and len(thin) == 1
    plane = _PLANES[thin[0] if flat else 2]
    order = [nearest[world] for world, _, _ in plane]
    space = scan.array.transpose(*(([3] if scan.array.ndim == 4 else []) + order))
    affine = np.eye(4)
    first = np.zeros(3)
    for shown, (world, direction, _) in enumerate(plane):
        axis = nearest[world]
        sign = signs[world] * direction
        affine[:3, shown] = scan.affine[:3, axis] * sign
        if sign < 0:
            first[axis] = scan.array.shape[axis] - 1
            space = np.flip(space, shown - 3)
    affine[:3, 3] = scan.affine[:3, :3] @ first + scan.affine[:3, 3]

    shape = np.array(space.shape[-3:])
    scale = np.linalg.norm(affine[:3, :3], axis=0)
    centre = affine[:3, :3] @ ((shape - 1) / 2) + affine[:3, 3]  # RAS mm
    along = np.array([centre[world] * direction for world, direction, _ in plane])
    translate = along - scale * (shape - 1) / 2
    labels = [name for _, _, name in plane]
    space = space[..., 0, :, :] if flat else space
    keep = slice(1, None) if flat else slice(None)
    timed = scan.array.ndim == 4
    leading = "sample" if (scan.provenance or {}).get("role") == "samples" else "time"
    geometry = {
        "scale": [1.0] * timed + list(map(float, scale[keep])),
        "translate": [0.0] * timed + list(map(float, translate[keep])),
        "units": ["pixel"] * timed + ["mm"] * len(scale[keep]),
        "axis_labels": [leading] * timed + labels[keep],
    }
    return space, geometry, affine


def scan_of(layer: Image, data: npt.NDArray[Any] | None = None) -> Scan:
    """Give the scan that a layer shows; lazy data are computed.

    Parameters
    ----------
    layer : Image
    data : ndarray, optional
        Other values on its grid.

    Returns
    -------
    Scan
        (I, J, K), or (I, J, K, T) with the times or samples in front of the layer's axes of space. A layer that no
        reader of ours opened is placed by its geometry on the screen (head, back, left), and says so in ``notes``.

    Raises
    ------
    InputError
        The layer is in colour or complex, has masked pixels, or more than one axis besides three of space.
    """
    if layer.rgb:
        raise InputError(f"'{layer.name}' is a colour image; choose a layer of one channel")
    check_unmasked(layer)
    record, axes = scan_record(layer), axes_in_file(layer)
    made = layer.metadata.get("brgm")
    provenance = plain(made) if isinstance(made, dict) else None
    return Scan(
        axes.array(np.asarray(stored(layer)) if data is None else data),
        _file_affine(record, axes) if record else _placed(layer),
        _units(record, provenance or {}),
        layer.name,
        str(record.get("modality") or ""),
        source_of(layer),
        record.get("header"),
        () if record else (NOT_PLACED,),
        provenance,
    )


def axes_in_file(layer: Image) -> FileAxes:
    """How the axes of a layer lie in the file that it goes back to.

    Raises
    ------
    InputError
        It has more than one axis besides three of space.
    """
    try:
        return FileAxes.of(stored(layer).shape, layer.axis_labels[0], scan_record(layer))
    except InputError as error:
        raise InputError(f"'{layer.name}' cannot be a file: {error}") from error


def shown_affine(layer: Image) -> npt.NDArray[np.float64]:
    """(4, 4): index of the last three axes of a layer as shown (slice 0 of a 2-D one) -> RAS+ mm.

    Where no reader of ours opened it, it is taken to run to the head, back and left.
    """
    record = scan_record(layer)
    return np.asarray(record["affine"], dtype=float) if record else _placed(layer)[:, [2, 1, 0, 3]]


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


def _file_affine(record: dict[str, Any], axes: FileAxes) -> npt.NDArray[np.float64]:
    """Affine of the file's axes: the file's own numbers where the layer lies on its grid."""
    shown, file = (np.asarray(record[key], dtype=float) for key in ("affine", "file_affine"))
    affine = np.eye(4)
    origin = np.zeros(3)  # shown index of the first voxel
    for axis, (own, flip) in enumerate(zip(axes.order, axes.flips, strict=True)):
        column = shown[:3, own] * (-1 if flip else 1)
        same = np.allclose(column, file[:3, axis], rtol=0, atol=_EQUAL * np.linalg.norm(column))
        affine[:3, axis] = file[:3, axis] if same else column
        origin[own] = axes.lengths[own] - 1 if flip else 0
    affine[:3, 3] = shown[:3, :3] @ origin + shown[:3, 3]
    if np.array_equal(affine[:3, :3], file[:3, :3]):
        near = np.abs(affine[:3, 3] - file[:3, 3]).max() <= _EQUAL * (1 + np.abs(file[:3, 3]).max())
        affine[:3, 3] = file[:3, 3] if near else affine[:3, 3]
    return affine


def _placed(layer: Image) -> npt.NDArray[np.float64]:
    """Affine (columns, rows, slices) -> RAS+ mm of a layer whose world is taken to run to the head, back and left."""
    import pint

    millimetre = pint.get_application_registry().Unit("mm")
    axes = count_of_space(layer.ndim, layer.axis_labels[0])
    factors = np.array([conversion(unit, millimetre) or 1.0 for unit in layer.units[-axes:]])
    step, first = np.eye(3), np.zeros(3)
    step[3 - axes :, 3 - axes :] = linear(layer)[-axes:, -axes:] * factors[:, None]
    first[3 - axes :] = np.asarray(layer.data_to_world(np.zeros(layer.ndim)), dtype=float)[-axes:] * factors
    affine = np.eye(4)
    affine[:3, :3], affine[:3, 3] = step[::-1, ::-1], first[::-1]
    return np.diag([-1.0, -1.0, 1.0, 1.0]) @ affine
