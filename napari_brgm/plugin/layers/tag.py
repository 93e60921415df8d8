"""The tag on the canvas while something synthetic is on it: a screenshot must not pass for a scan."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary

from napari_brgm.plugin.canvas.follow import follow

if TYPE_CHECKING:
    from napari.components import ViewerModel

__all__ = ["TAG", "mark_synthetic", "mark_window"]

TAG = "SYNTHETIC - not for diagnosis"
_LOOK = {  # 11 : 1, whatever the theme and the layers below
    "visible": True, "position": "top_center", "color": "#ffb347", "box": True, "box_color": "#000000",
}  # fmt: skip
_COLOUR_ALONE = "#d14900"  # where napari draws no box behind a text: 4.5 : 1 on white and on black
_watched: WeakKeyDictionary[Any, _Tag] = WeakKeyDictionary()


def mark_synthetic(viewer: ViewerModel) -> None:
    """From now on show the tag whenever a visible layer of this viewer is synthetic."""
    follow(viewer)
    if viewer not in _watched:
        _watched[viewer] = _Tag(viewer)
    _watched[viewer].update()


def mark_window() -> None:
    """The same for the window that is open, where something synthetic is about to come from a file or a sample."""
    from napari import current_viewer

    viewer = current_viewer()
    if viewer is not None:
        mark_synthetic(viewer)


class _Tag:
    """Follows the layers of a viewer; a text that the person put there stays in front of it."""

    def __init__(self, viewer: ViewerModel) -> None:
        from weakref import ref

        self._viewer = ref(viewer)
        self._own_look: dict[str, Any] = {}  # of the person's text: whether shown, where, in which colours
        viewer.layers.events.inserted.connect(self._on_inserted)
        viewer.layers.events.removed.connect(self.update)
        for layer in viewer.layers:
            layer.events.visible.connect(self.update)

    def update(self, event: object = None) -> None:
        viewer = self._viewer()
        if viewer is None:
            return
        text = _overlay(viewer)
        own = text.text.replace(TAG, "").rstrip("\n")
        shown = any(layer.visible and "brgm" in layer.metadata for layer in viewer.layers)
        if shown == (TAG in text.text):
            return
        text.text = "\n".join(filter(None, (own, TAG if shown else "")))
        if shown:
            self._own_look = {name: getattr(text, name) for name in _LOOK if hasattr(text, name)}
        look = _LOOK | ({} if hasattr(text, "box_color") else {"color": _COLOUR_ALONE}) if shown else self._own_look
        for name in look.keys() & self._own_look:
            setattr(text, name, look[name])

    def _on_inserted(self, event: Any) -> None:
        event.value.events.visible.connect(self.update)
        self.update()


def _overlay(viewer: ViewerModel) -> Any:
    """The canvas's text; before napari 0.9 it was the viewer's own."""
    canvas = getattr(viewer, "canvas", None)
    return viewer.text_overlay if canvas is None else canvas.overlays["text"]
