"""Restoration -> new napari layers on the source's geometry. Nothing is overwritten; undo is deleting a layer.

A pixel i' of a result grid that starts at index o of its source and is finer by f lies at (i' + 1/2) / f - 1/2 + o of
the source, so that edges stay and centres move:

    scale_out = scale_in / f
    translate_out = translate_in + rotate o shear (1/2 (scale_out - scale_in) + scale_in o)

inside the layer's affine.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from napari_brgm.plugin.layers import linear, stored

if TYPE_CHECKING:
    from napari.components import ViewerModel
    from napari.layers import Image, Layer
    from napari.utils.colormaps import Colormap

    from napari_brgm.engine.restoration import Restoration
    from napari_brgm.plugin.layers import ShownSlice

__all__ = ["NOTICE", "NOTICE_ALL", "Extras", "add_results", "geometry", "plane_geometry"]

NOTICE = "Synthetic: computed by a generative model, not measured. Not for diagnosis."
NOTICE_ALL = "Synthetic: every pixel of this slice is an estimate, none is kept as measured. Not for diagnosis."

Float = npt.NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Extras:
    """Layers wanted besides the restored image and its variance."""

    std: bool = False
    samples: bool = False


def geometry(
    layer: Layer, *, start: npt.ArrayLike | None = None, factor: npt.ArrayLike | None = None, leading: int = 0
) -> dict[str, Any]:
    """Place a result in the world of its source: keyword arguments for a new layer.

    Parameters
    ----------
    layer : Layer
        The source; its scale, translate, rotate, shear, affine, units and axis labels are all carried over.
    start : (n,) array
        Source index at which the result begins, for each axis; default 0.
    factor : (n,) array
        Result pixels per source pixel, for each axis; default 1.
    leading : int
        Number of axes that the result has in front of those of its source.
    """
    n = layer.ndim
    finer = np.ones(n) if factor is None else np.asarray(factor, dtype=float)
    shift = (1 / finer - 1) / 2 + (0 if start is None else np.asarray(start))  # source index of the first pixel
    affine = np.asarray(layer.affine.affine_matrix, dtype=float)
    physical = np.linalg.solve(affine[:n, :n], linear(layer))  # rotate o shear o scale
    rotate, shear = np.eye(leading + n), np.eye(leading + n)
    rotate[leading:, leading:] = layer.rotate
    shear[leading:, leading:] = _square(np.asarray(layer.shear, dtype=float), n)
    outer = np.eye(leading + n + 1)
    outer[leading:, leading:] = affine
    labels = tuple(layer.axis_labels)
    return {
        "scale": np.concatenate([np.ones(leading), layer.scale / finer]),
        "translate": np.concatenate([np.zeros(leading), layer.translate + physical @ shift]),
        "rotate": rotate,
        "shear": shear,
        "affine": outer,
        "units": ("pixel",) * leading + tuple(layer.units),
        "axis_labels": ("sample",) * leading + labels,
    }


def plane_geometry(source: Image, shown: ShownSlice, shape: tuple[int, ...]) -> dict[str, Any]:
    """Place one plane (..., H', W'), as shown, over the slice it was computed from; see ``plane_data``."""
    start, factor = _start(shown), np.ones(source.ndim)
    factor[shown.rows], factor[shown.columns] = np.array(shape[-2:]) / shown.image.shape
    return geometry(source, start=start, factor=factor, leading=len(shape) - 2)


def plane_data(source: Image, shown: ShownSlice, image: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """Turn (..., H', W'), as shown, into the source's axes, with length 1 across the plane."""
    plane = shown.as_stored(image)
    across = tuple(axis - source.ndim for axis in range(source.ndim) if axis not in (shown.rows, shown.columns))
    return np.ascontiguousarray(np.expand_dims(plane, across))


def add_results(
    viewer: ViewerModel, source: Image, shown: ShownSlice, result: Restoration, task: str, extras: Extras
) -> list[Image]:
    """Add the layers of one run: restored image, wanted extras, and on top the variance as a tint; restored first.

    In-painting gives layers of the source's shape, and the tint marks what is synthetic. So does cleaning, where all
    of the slice is synthetic and tinted. Super-resolution gives the one slice on its finer grid; there all is
    synthetic, and the tint is off until it is wanted.
    """
    add = _Adder(viewer, source, shown, result, task)
    role = {"in-paint": "restored", "clean": "cleaned"}.get(task) or _finer(shown, result)
    layers = [add(role, np.asarray(result.estimate))]
    if extras.samples:
        layers.append(add("samples", np.asarray(result.samples)))
    if extras.std:
        layers.append(add("std", np.asarray(result.std)))
    layers.append(add("variance", np.asarray(result.variance)))
    viewer.layers.selection.active = layers[0]
    return layers


@dataclass(frozen=True, slots=True)
class _Adder:
    """Adds one layer of a run at a time."""

    viewer: ViewerModel
    source: Image
    shown: ShownSlice
    result: Restoration
    task: str

    @property
    def inserted(self) -> bool:
        """Whether the plane goes into data of the source's shape."""
        return self.task != "super-resolve"

    def __call__(self, role: str, image: npt.NDArray[Any]) -> Image:
        image = np.asarray(image, dtype=np.float32)
        uncertainty = role in ("variance", "std")
        data: Any
        if self.inserted and image.ndim == 2:
            data = _inserted(self.source, self.shown, image, keep=not uncertainty)
            place = geometry(self.source)
        else:
            data = plane_data(self.source, self.shown, image)
            place = plane_geometry(self.source, self.shown, image.shape)
        record = dict(self.result.provenance) | {
            "notice": NOTICE_ALL if self.task == "clean" else NOTICE,
            "role": role,
            "task": self.task,
            "source_layer": self.source.name,
            "slice": [None if isinstance(i, slice) else i for i in self.shown.index],
            "spacing_mm": self.shown.spacing,
        }
        limits = (0.0, float(image.max()) or 1.0) if uncertainty else tuple(self.source.contrast_limits)
        layer = self.viewer.add_image(
            data,
            name=f"{self.source.name} [{role}, synthetic]",
            rgb=False,
            colormap=_tint() if uncertainty else self.source.colormap,
            contrast_limits=limits,
            blending="translucent" if uncertainty else "translucent_no_depth",
            opacity=0.5 if uncertainty and self.task == "clean" else 1.0,  # it covers the whole slice
            visible=role not in ("samples", "std") and (self.inserted or not uncertainty),
            metadata=self._metadata(place) | {"brgm": record},
            **place,
        )
        if not uncertainty:
            layer.contrast_limits_range = self.source.contrast_limits_range
            layer.contrast_limits = limits
        return layer

    def _metadata(self, place: dict[str, Any]) -> dict[str, Any]:
        """Metadata of the source; a scan's affine follows the finer grid."""
        metadata = dict(self.source.metadata)
        scan = metadata.get("scan")
        if not self.inserted and isinstance(scan, dict) and "affine" in scan:
            metadata["scan"] = scan | {"affine": _finer_affine(scan["affine"], self.source, self.shown, self.result)}
        return metadata


def _inserted(source: Image, shown: ShownSlice, image: Float, *, keep: bool) -> Any:
    """float32 data of the source's shape with this plane: the rest is the source's (keep) or 0. Lazy data stay lazy."""
    data, plane = stored(source), shown.as_stored(image)
    if isinstance(data, np.ndarray):
        array = data.astype(np.float32) if keep else np.zeros(data.shape, np.float32)
        array[shown.index] = plane
        return array
    import dask.array

    lazy = data if isinstance(data, dask.array.Array) else dask.array.from_array(data)
    # a copy: of float32 data astype gives the same object back, and the next line would change the source
    lazy = lazy.astype(np.float32).copy() if keep else dask.array.zeros_like(lazy, dtype=np.float32)
    lazy[shown.index] = plane
    return lazy


def _tint() -> Colormap:
    """Clear where nothing is uncertain, orange to red where much is."""
    from napari.utils.colormaps import Colormap

    colours = [[1.0, 0.8, 0.2, 0.0], [1.0, 0.5, 0.0, 0.45], [1.0, 0.1, 0.2, 0.7]]
    return Colormap(colours, name="brgm uncertainty", display_name="uncertainty")


def _start(shown: ShownSlice) -> npt.NDArray[np.float64]:
    return np.array([0.0 if isinstance(i, slice) else float(i) for i in shown.index])


def _finer(shown: ShownSlice, result: Restoration) -> str:
    return f"x{result.estimate.shape[0] / shown.image.shape[0]:g}"


def _finer_affine(affine: npt.ArrayLike, source: Image, shown: ShownSlice, result: Restoration) -> Any:
    """Affine (4, 4) of a scan's last three axes, on the finer grid of one slice."""
    factor = np.ones(source.ndim)
    factor[shown.rows], factor[shown.columns] = np.array(result.estimate.shape) / shown.image.shape
    shift = (1 / factor - 1) / 2 + _start(shown)
    index = np.eye(4)
    axes = min(3, source.ndim)  # a 2-D image has no slider axis
    index[range(3 - axes, 3), range(3 - axes, 3)] = 1 / factor[-axes:]
    index[3 - axes : 3, 3] = shift[-axes:]
    return np.asarray(affine) @ index


def _square(shear: npt.NDArray[np.float64], n: int) -> npt.NDArray[np.float64]:
    """Shear as a matrix; napari keeps an upper triangular one as the vector of its elements."""
    if shear.ndim == 2:
        return shear
    matrix = np.eye(n)
    matrix[np.triu_indices(n, 1)] = shear
    return matrix
