"""The pixel that the inspector holds on to, as it is kept in files: a voxel of the run's images."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from napari_brgm.errors import BrgmError
from napari_brgm.plugin.layers.file_axes import FileAxes
from napari_brgm.plugin.layers.outcome import PINNED_KEY
from napari_brgm.plugin.layers.posterior_files import on_grid_of_run
from napari_brgm.plugin.layers.scans import axes_in_file

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from napari.layers import Image

    LayerData = tuple[Any, dict[str, Any], str]

__all__ = ["axes_of", "pin", "pinned_voxel"]


def pinned_voxel(layers: Iterable[Image]) -> tuple[int, ...] | None:
    """Voxel of the file of the first of these layers that has one."""
    for layer in layers:
        index = layer.metadata.get(PINNED_KEY)
        if index is not None and on_grid_of_run(layer.metadata["brgm"]):
            return tuple(i for i in axes_in_file(layer).in_file([int(i) for i in index])[0] if i is not None)
    return None


def pin(voxel: Sequence[int], layers: Sequence[LayerData]) -> None:
    """Hold on to it in layers of a run that are opened, all on its grid; not in those of other images."""
    try:
        index, _ = axes_of(layers[0]).on_layer(voxel)
    except BrgmError:
        return
    for _, settings, _ in layers:
        settings["metadata"][PINNED_KEY] = list(index)


def axes_of(layer: LayerData) -> FileAxes:
    """Between the file that a layer is opened from and the layer."""
    data, settings, _ = layer
    shape = data.shape[:-1] if settings["rgb"] else data.shape
    record = settings["metadata"]["scan"]
    return FileAxes.of(shape, settings["axis_labels"][0], record if "file_affine" in record else {})
