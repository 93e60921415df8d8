"""Panes: images side by side in one canvas, under one zoom, with one contrast; numbers in place of names."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from napari.layers import Image, Labels
from napari.utils.colormaps import DirectLabelColormap

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy.typing as npt
    from napari.components import ViewerModel

    from napari_brgm.evaluation.choosing.cases import ChoiceCase

__all__ = ["OBSERVED", "TRUTH_PANE", "Panes"]

OBSERVED, TRUTH_PANE = "observed", "truth"
_LOOK = {"font_size": 14, "color": "#ffffff", "box": True, "box_color": "#000000"}  # whatever theme and image
_MARK = {"font_size": 14, "color": "#000000", "box": True, "box_color": "#f2b84b"}
_FRAME = {"line_color": "#f2b84b", "line_thickness": 3.0, "points": False}
_OUTLINE = DirectLabelColormap(color_dict={None: "transparent", 1: "#f2b84b"})
_ONE_ROW = 3  # panes; more stand in two
_SPACING = 6  # pixels


class Panes:
    """What is on the canvas; each pane is an image and the outline of the hole on it.

    Parameters
    ----------
    viewer : ViewerModel
        Ours alone.
    """

    def __init__(self, viewer: ViewerModel) -> None:
        self.viewer = viewer
        self.images: list[Image] = []
        self._outlines: list[Labels] = []
        self._outlined = True
        if hasattr(viewer, "canvas"):  # of napari from 0.9 on; black as images are read, whatever the theme
            viewer.canvas.background_color_override = "black"
        grid = _grid(viewer)
        grid.stride, grid.spacing = 2, _SPACING

    def show(self, case: ChoiceCase, candidates: Sequence[npt.NDArray[np.uint8]], truth: bool) -> None:
        """Show observed, the truth where it is no candidate, and candidates by number.

        Parameters
        ----------
        case : ChoiceCase
        candidates : sequence of (R, R) ndarray
        truth : bool
            Show it for comparison.
        """
        shown = [(OBSERVED, case.observed), *([(TRUTH_PANE, case.truth)] if truth else [])]
        shown += [(str(number), image) for number, image in enumerate(candidates, 1)]
        if [name for name, _ in shown] != [image.name for image in self.images]:
            self._make([name for name, _ in shown])
        for layer, outline, (_, image) in zip(self.images, self._outlines, shown, strict=True):
            scale = np.array(case.truth.shape) / image.shape
            layer.data, outline.data = image, case.hole.astype(np.uint8)
            layer.scale, layer.translate = scale, (scale - 1) / 2
        self.outline(self._outlined)
        self.viewer.reset_view()

    def _make(self, names: Sequence[str]) -> None:
        """Make the layers, which takes napari far longer than to change them."""
        self.clear()
        rows = 1 if len(names) <= _ONE_ROW else 2
        grid = _grid(self.viewer)
        grid.enabled = False  # which napari lays out anew for each layer
        grid.shape = (rows, -(-len(names) // rows))
        blank = np.zeros((2, 2), np.uint8)
        for name in names:
            layer = Image(
                blank, name=name, rgb=False, contrast_limits=(0, 255), colormap="gray", interpolation2d="nearest"
            )
            outline = Labels(blank, name=f"hole {name}", colormap=_OUTLINE)
            outline.contour = 1
            self.images.append(layer)
            self._outlines.append(outline)
            _label(layer, _LOOK)
        for pair in zip(self.images, self._outlines, strict=True):
            self.viewer.layers.extend(pair)
        self.viewer.layers.selection.clear()  # so that no layer hears the keys
        grid.enabled = True

    def mark(self, place: int | None) -> None:
        """Frame the candidate of this place, from 0; None: none."""
        candidates = [image for image in self.images if image.name not in (OBSERVED, TRUTH_PANE)]
        for number, image in enumerate(candidates):
            chosen = number == place
            for key, value in _FRAME.items():
                setattr(image.bounding_box, key, value)
            image.bounding_box.visible = chosen
            _label(image, _MARK if chosen else _LOOK)

    def outline(self, shown: bool) -> None:
        """Show or hide the outlines of holes."""
        self._outlined = shown
        self._dim(self._outlines, not shown)

    def cover(self, covered: bool) -> None:
        """Hide everything but the numbers, or show it again."""
        self._dim(self.images, covered)
        self._dim(self._outlines, covered or not self._outlined)

    def _dim(self, layers: Sequence[Image | Labels], dimmed: bool) -> None:
        for layer in layers:  # not `visible`: napari lays its grid out anew for each
            layer.opacity = 0.0 if dimmed else 1.0

    def clear(self) -> None:
        """Take everything away."""
        self.images, self._outlines = [], []
        self.viewer.layers.clear()


def _grid(viewer: ViewerModel) -> Any:
    canvas = getattr(viewer, "canvas", None)  # of napari from 0.9 on
    return viewer.grid if canvas is None else canvas.grid


def _label(image: Image, look: dict[str, Any]) -> None:
    overlay = getattr(image, "name_overlay", None)  # of napari from 0.6.3 on
    if overlay is not None:
        for key, value in look.items():
            setattr(overlay, key, value)
        overlay.visible = True
