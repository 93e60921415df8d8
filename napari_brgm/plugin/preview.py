"""The current estimate as a layer over its slice, while a run lasts."""

from __future__ import annotations

from typing import TYPE_CHECKING

from napari_brgm.plugin.results import plane_data, plane_geometry

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt
    from napari.components import ViewerModel
    from napari.layers import Image

    from napari_brgm.plugin.layers import ShownSlice

__all__ = ["Preview"]


class Preview:
    """Adds its layer with the first image and takes it away again; the person may delete it at any time."""

    def __init__(self, viewer: ViewerModel, source: Image, shown: ShownSlice) -> None:
        self._viewer, self._source, self._shown = viewer, source, shown
        self._layer: Image | None = None

    def show(self, image: npt.NDArray[np.float32]) -> None:
        """Show an estimate (H', W'), as shown, on the result's grid."""
        data = plane_data(self._source, self._shown, image)
        if self._layer is not None:
            if self._layer in self._viewer.layers:
                self._layer.data = data
            return
        selected = set(self._viewer.layers.selection)
        active = self._viewer.layers.selection.active
        self._layer = self._viewer.add_image(
            data,
            name=f"{self._source.name} [preview, synthetic]",
            rgb=False,
            colormap=self._source.colormap,
            contrast_limits=tuple(self._source.contrast_limits),
            metadata={"brgm": {"role": "preview"}},
            **plane_geometry(self._source, self._shown, image.shape),
        )
        self._viewer.layers.selection = selected  # a run must not take the brush out of the hand
        self._viewer.layers.selection.active = active

    def remove(self) -> None:
        """Take the layer away."""
        if self._layer is not None and self._layer in self._viewer.layers:
            self._viewer.layers.remove(self._layer)
        self._layer = None
