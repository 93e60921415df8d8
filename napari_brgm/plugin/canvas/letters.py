"""The orientation letters on the canvas: they follow layers, axes and camera of a viewer."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from weakref import ref

from napari_brgm.plugin.canvas.orientation import EDGES, Edges, edges_of

if TYPE_CHECKING:
    from napari.components import ViewerModel
    from napari.layers import Layer

__all__ = ["OrientationLetters"]

_POSITIONS = {"left": "middle_left", "right": "middle_right", "top": "top_center", "bottom": "bottom_center"}
_MOVES = ("visible", "scale", "rotate", "shear", "affine", "axis_labels", "metadata", "ndim")
_LOOK = {"font_size": 12, "color": "#ffffff", "box": True, "box_color": "#000000"}  # whatever the theme and the scan


class OrientationLetters:
    """Four texts at the edges; none on napari before 0.9, whose canvas has no room for them there."""

    def __init__(self, viewer: ViewerModel) -> None:
        self._viewer = ref(viewer)
        self.edges = Edges()
        viewer.layers.events.inserted.connect(self._on_inserted)
        viewer.layers.events.removed.connect(self.update)
        viewer.dims.events.order.connect(self.update)
        viewer.dims.events.ndisplay.connect(self.update)
        viewer.dims.events.ndim.connect(self.update)
        _camera(viewer).events.orientation.connect(self.update)
        for layer in viewer.layers:
            self._follow(layer)
        self.update()

    def update(self, event: object = None) -> None:
        """Show what holds now."""
        viewer = self._viewer()
        if viewer is None:
            return
        dims = viewer.dims
        if max(dims.displayed) >= dims.ndim:  # napari is about to change both
            return
        rows, columns = (str(way) for way in _camera(viewer).orientation2d)
        self.edges = edges_of(viewer.layers, dims, (rows == "up", columns == "left"))
        _show(viewer, self.edges)

    def _on_inserted(self, event: Any) -> None:
        self._follow(event.value)
        self.update()

    def _follow(self, layer: Layer) -> None:
        for name in _MOVES:
            signal = getattr(layer.events, name, None)
            if signal is not None:
                signal.connect(self.update)


def _show(viewer: ViewerModel, edges: Edges) -> None:
    canvas = getattr(viewer, "canvas", None)
    if canvas is None:
        return
    from napari.components.overlays import TextOverlay

    for edge in EDGES:
        key, letters = f"brgm_{edge}", getattr(edges, edge)
        if key not in canvas.overlays:
            if not letters:
                continue
            canvas.overlays[key] = TextOverlay(position=_POSITIONS[edge], **_LOOK)
        overlay = canvas.overlays[key]
        overlay.text = letters or overlay.text  # an empty text has no size to be placed by
        overlay.visible = bool(letters)


def _camera(viewer: ViewerModel) -> Any:
    scene = getattr(viewer, "scene", None)
    return viewer.camera if scene is None else scene.camera
