"""Scan -> napari layer: axial slices as radiologists look at them, true geometry kept in the metadata.

napari cannot slice along oblique axes, so a scan is shown on a diagonal scale: its axes run to the head, to the back
and to the patient's left (slider, rows, columns), and an oblique scan is turned about its centre to the nearest axes.
What the file said stays in ``layer.metadata["scan"]``; the record of one of our own results is again in
``layer.metadata["brgm"]``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from napari_brgm.scan import nearest_axes

if TYPE_CHECKING:
    from napari.utils.colormaps import DirectLabelColormap

    from napari_brgm.scan import Scan

__all__ = ["image_layer", "mask_colours", "mask_layer", "robust_limits"]

# world axis (x, y, z), direction in which the display runs, and its name
_HEAD, _BACK, _LEFT, _FEET = (2, 1, "I-S"), (1, -1, "A-P"), (0, -1, "R-L"), (2, -1, "S-I")
_PLANES = {2: (_HEAD, _BACK, _LEFT), 1: (_BACK, _FEET, _LEFT), 0: (_LEFT, _FEET, _BACK)}  # by the slider's world axis


def image_layer(scan: Scan) -> tuple[npt.NDArray[Any], dict[str, Any], str]:
    """Layer data of a scan: (slices, rows, columns), (volumes, slices, rows, columns), or (rows, columns) for K = 1.

    A scan that is one slice thick is shown in its own plane; any other one by its axial slices.
    """
    array, geometry, affine = _displayed(scan)
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
        settings |= _result_settings(scan)
        settings["metadata"] = {"scan": record, "brgm": scan.provenance}
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


def _result_settings(scan: Scan) -> dict[str, Any]:
    """How a result read from a file is shown: marked as synthetic, an uncertainty as the tint it was."""
    from napari_brgm.plugin.results import UNCERTAINTIES, tint

    record, name = scan.provenance or {}, scan.name or "scan"
    settings: dict[str, Any] = {"name": name if "synthetic" in name.lower() else f"{name} [synthetic]"}
    if record.get("role") in UNCERTAINTIES or ("role" not in record and scan.units.endswith("^2")):
        greatest = float(np.nanmax(scan.array))
        limits = (0.0, greatest if greatest > 0 else 1.0)
        settings |= {"colormap": tint(), "contrast_limits": limits, "blending": "translucent"}
    return settings


def _displayed(scan: Scan) -> tuple[npt.NDArray[Any], dict[str, Any], npt.NDArray[np.float64]]:
    """View of the array in display order, its geometry, and the affine of its last three axes."""
    nearest, signs = nearest_axes(scan.affine)
    thin = [world for world in (2, 1, 0) if scan.array.shape[nearest[world]] == 1]
    plane = _PLANES[thin[0] if len(thin) == 1 else 2]
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
    flat = len(thin) == 1
    space = space[..., 0, :, :] if flat else space
    keep = slice(1, None) if flat else slice(None)
    timed = scan.array.ndim == 4
    geometry = {
        "scale": [1.0] * timed + list(map(float, scale[keep])),
        "translate": [0.0] * timed + list(map(float, translate[keep])),
        "units": ["pixel"] * timed + ["mm"] * len(scale[keep]),
        "axis_labels": ["time"] * timed + labels[keep],
    }
    return space, geometry, affine
