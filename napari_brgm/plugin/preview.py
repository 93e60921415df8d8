"""The current estimate as a layer over its slice, while a run lasts.

A new layer costs napari a fifth of a second or more, in which the window does not answer: there is one, added before
the run begins, and its pixels are changed in place.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from napari_brgm.plugin.geometry import plane_data, plane_geometry
from napari_brgm.plugin.tag import mark_synthetic

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy.typing as npt
    from napari.components import ViewerModel
    from napari.layers import Image

    from napari_brgm.plugin.job import Piece
    from napari_brgm.plugin.layers import ShownSlice

__all__ = ["Preview"]


class Preview:
    """Adds its layer at once, showing what was measured; the person may delete it at any time.

    Parameters
    ----------
    parts : sequence of (ShownSlice, Piece)
        The slices of the run; one is shown at a time, first the first.
    """

    def __init__(self, viewer: ViewerModel, source: Image, parts: Sequence[tuple[ShownSlice, Piece]]) -> None:
        self._viewer, self._source = viewer, source
        self._planes = [shown for shown, _ in parts]
        self._number = 0  # of the slice that the layer shows
        shown, piece = parts[0]
        data = plane_data(source, shown, _start(piece))
        selected, active = set(viewer.layers.selection), viewer.layers.selection.active
        self._layer = viewer.add_image(
            data,
            name=f"{source.name} [preview, synthetic]",
            rgb=False,
            colormap=source.colormap,
            contrast_limits=tuple(source.contrast_limits),
            metadata={"brgm": {"role": "preview"}},
            **self._place(data.shape),
        )
        viewer.layers.selection = selected  # a run must not take the brush out of the hand
        viewer.layers.selection.active = active
        mark_synthetic(viewer)

    def show(self, number: int, image: npt.NDArray[np.float32]) -> None:
        """Show an estimate (H', W') of slice ``number``, as shown, on the result's grid."""
        if self._layer not in self._viewer.layers:
            return  # deleted: not wanted
        data = plane_data(self._source, self._planes[number], image)
        if data.shape != self._layer.data.shape:
            self._layer.data = data
        else:
            self._layer.data[...] = data
        if number != self._number:
            self._number = number
            self._layer.translate = self._place(data.shape)["translate"]
        self._layer.refresh(thumbnail=False, highlight=False, extent=False)

    def remove(self) -> None:
        """Take the layer away."""
        if self._layer in self._viewer.layers:
            self._viewer.layers.remove(self._layer)

    def _place(self, shape: tuple[int, ...]) -> dict[str, object]:
        shown = self._planes[self._number]
        size = shape[shown.rows], shape[shown.columns]
        return plane_geometry(self._source, shown, size)


def _start(piece: Piece) -> npt.NDArray[np.float32]:
    """What is shown before the first estimate: what was measured, on the result's grid; black where nothing was."""
    image = piece.image
    if piece.missing is not None:
        return np.where(piece.missing, image.min(), image).astype(np.float32)
    if piece.factor is None:
        return image.copy()
    rows, columns = (
        np.minimum((np.arange(round(n * f)) / f).astype(int), n - 1)
        for n, f in zip(image.shape, piece.factor, strict=True)
    )
    return np.ascontiguousarray(image[np.ix_(rows, columns)])
