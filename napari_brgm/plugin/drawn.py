"""Images that a prior drew -> stacks in the viewer, called synthetic. They show nobody, so they have no place to keep.

Samples are put in the middle of what the viewer holds, on the plane that it shows; their slider is an axis of its own
in front of all others. An interpolation lies over its first slice.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from napari_brgm.plugin.geometry import plane_data, plane_geometry
from napari_brgm.plugin.tag import mark_synthetic

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy.typing as npt
    from napari.components import ViewerModel
    from napari.layers import Image

    from napari_brgm.plugin.exploring import Drawn
    from napari_brgm.plugin.layers import ShownSlice

__all__ = ["add_interpolation", "add_samples"]

_STACKS = ("samples", "interpolation")  # roles of layers with an axis that is not one of the scan


def add_samples(viewer: ViewerModel, prior: str, drawn: Drawn) -> Image:
    """Add samples as one layer: (n, R, R), or with axes of length 1 where the viewer holds scans of more axes."""
    plain = [layer.ndim for layer in viewer.layers if layer.metadata.get("brgm", {}).get("role") not in _STACKS]
    ndim = max([2, *plain])
    rows, columns = _plane(viewer, ndim)
    images = np.swapaxes(drawn.images, 1, 2) if rows > columns else drawn.images
    across = [axis for axis in range(ndim) if axis not in (rows, columns)]
    data = np.expand_dims(images, [1 + axis for axis in across])
    rgb = drawn.images.ndim == 4
    shape = np.array(data.shape[1 : 1 + ndim])
    pixel = drawn.spacing or 1.0
    scale = np.where(np.isin(np.arange(ndim), across), 1.0, pixel)
    middle = _middle(viewer, ndim, across) if viewer.layers else scale * (shape - 1) / 2
    labels = tuple(viewer.dims.axis_labels[-ndim:]) if viewer.layers else ("row", "column")
    settings: dict[str, Any] = {} if rgb else {"contrast_limits": (0.0, 255.0), "colormap": "gray"}
    return _added(
        viewer,
        data / 255 if rgb else data,
        f"{prior} [samples, synthetic]",
        drawn.record | {"role": "samples", "task": "explore"},
        rgb=rgb,
        scale=(1.0, *scale),
        translate=(0.0, *(middle - scale * (shape - 1) / 2)),
        units=("pixel", *["mm" if drawn.spacing else "pixel"] * ndim),
        axis_labels=("sample", *labels),
        **settings,
    )


def add_interpolation(
    viewer: ViewerModel, first: Image, second: Image, shown: Sequence[ShownSlice], drawn: Drawn
) -> Image:
    """Add the images between two slices as one layer over the first, in its units."""
    record = drawn.record | {
        "role": "interpolation",
        "task": "explore",
        "source_layers": [first.name, second.name],
        "slices_shown": [[None if isinstance(i, slice) else i for i in one.index] for one in shown],
    }
    return _added(
        viewer,
        plane_data(first, shown[0], drawn.images),
        f"{first.name} to {second.name} [interpolation, synthetic]",
        record,
        rgb=False,
        colormap=first.colormap,
        contrast_limits=tuple(first.contrast_limits),
        **plane_geometry(first, shown[0], drawn.images.shape),
    )


def _added(viewer: ViewerModel, data: npt.NDArray[Any], name: str, record: dict[str, Any], **settings: Any) -> Image:
    layer: Image = viewer.add_image(data, name=name, metadata={"brgm": record}, **settings)
    viewer.layers.selection.active = layer
    viewer.dims.set_current_step(viewer.dims.ndim - layer.ndim, 0)
    mark_synthetic(viewer)
    return layer


def _plane(viewer: ViewerModel, ndim: int) -> tuple[int, int]:
    """Axes, of the last ``ndim``, that are the screen's rows and columns; the last two where it shows others."""
    rows, columns = (axis - (viewer.dims.ndim - ndim) for axis in viewer.dims.displayed[-2:])
    return (rows, columns) if min(rows, columns) >= 0 else (ndim - 2, ndim - 1)


def _middle(viewer: ViewerModel, ndim: int, across: list[int]) -> npt.NDArray[np.float64]:
    """World position (ndim,) of the middle of the plane on show."""
    extent = np.asarray(viewer.layers.extent.world)  # (2, axes of the viewer)
    middle: npt.NDArray[np.float64] = extent.mean(axis=0)[-ndim:]
    middle[across] = np.array(viewer.dims.point)[-ndim:][across]
    return middle
