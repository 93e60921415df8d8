"""The current estimate as a layer over its slice, while a run lasts."""

from __future__ import annotations

from typing import TYPE_CHECKING

from napari_brgm.plugin.geometry import plane_data, plane_geometry
from napari_brgm.plugin.tag import mark_synthetic

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy as np
    import numpy.typing as npt
    from napari.components import ViewerModel
    from napari.layers import Image

    from napari_brgm.plugin.layers import ShownSlice

__all__ = ["Preview"]


class Preview:
    """Adds its layer with the first image and takes it away again; the person may delete it at any time.

    Parameters
    ----------
    planes : sequence of ShownSlice
        The slices of the run; one is shown at a time.
    """

    def __init__(self, viewer: ViewerModel, source: Image, planes: Sequence[ShownSlice]) -> None:
        self._viewer, self._source, self._planes = viewer, source, planes
        self._layer: Image | None = None
        self._number = 0  # of the slice that the layer shows

    def show(self, number: int, image: npt.NDArray[np.float32]) -> None:
        """Show an estimate (H', W') of slice ``number``, as shown, on the result's grid."""
        shown = self._planes[number]
        data = plane_data(self._source, shown, image)
        if self._layer is not None and number == self._number:
            if self._layer in self._viewer.layers:
                self._layer.data = data
            return
        if self._layer is not None and self._layer not in self._viewer.layers:
            return  # deleted: not wanted
        self.remove()
        self._number = number
        selected = set(self._viewer.layers.selection)
        active = self._viewer.layers.selection.active
        self._layer = self._viewer.add_image(
            data,
            name=f"{self._source.name} [preview, synthetic]",
            rgb=False,
            colormap=self._source.colormap,
            contrast_limits=tuple(self._source.contrast_limits),
            metadata={"brgm": {"role": "preview"}},
            **plane_geometry(self._source, shown, image.shape),
        )
        self._viewer.layers.selection = selected  # a run must not take the brush out of the hand
        self._viewer.layers.selection.active = active
        mark_synthetic(self._viewer)

    def remove(self) -> None:
        """Take the layer away."""
        if self._layer is not None and self._layer in self._viewer.layers:
            self._viewer.layers.remove(self._layer)
        self._layer = None
