"""Colour bars of tints: how much a colour means, and in which units."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from weakref import WeakSet, ref

from qtpy.QtCore import QCoreApplication, QTimer

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from napari.components import ViewerModel
    from napari.layers import Layer

__all__ = ["TINTS", "ColourBars", "caption_of"]

TINTS = {"variance": "variance", "std": "standard deviation", "probability": "probability"}  # roles, in words
_CAPTION = "brgm_caption"
_POSITION = "bottom_right"  # from below: caption, then bars in the order of the layers
_LOOK = {"font_size": 10, "color": "#ffffff", "box": True, "box_color": "#000000"}  # whatever the theme and the scan
_SOON_MS = 60


class ColourBars:
    """Gives each tint of ours a bar when it has been seen first, and says below the bars what they measure.

    A bar takes napari as long to make as a layer: it comes when the layer has been drawn. One that a person takes away
    stays away.
    """

    def __init__(self, viewer: ViewerModel) -> None:
        self._viewer = ref(viewer)
        self._soon = _timer(self._give) if QCoreApplication.instance() is not None else None
        self._given: WeakSet[Layer] = WeakSet()
        viewer.layers.events.inserted.connect(self._on_inserted)
        viewer.layers.events.removed.connect(self.update)
        viewer.layers.events.reordered.connect(self.update)
        for layer in viewer.layers:
            self._follow(layer)
        self.update()

    def update(self, event: object = None) -> None:
        """Show what holds now."""
        viewer = self._viewer()
        canvas = getattr(viewer, "canvas", None)
        if viewer is None or canvas is None:  # napari before 0.9 has no bars
            return
        seen = _tints_on_show(viewer)
        if any(layer not in self._given for layer in seen):
            if self._soon is None:  # no window, nothing to wait for
                self._give()
                return
            self._soon.start()
        self._caption(canvas, [caption_of(layer.metadata["brgm"]) for layer in seen if layer.colorbar.visible])

    def _give(self) -> None:
        viewer = self._viewer()
        new = [] if viewer is None else [layer for layer in _tints_on_show(viewer) if layer not in self._given]
        if not new:
            return
        layer = new[-1]
        self._given.add(layer)
        for name, value in (_LOOK | {"position": _POSITION, "visible": True}).items():
            setattr(layer.colorbar, name, value)
        self.update()  # one at a time

    def _caption(self, canvas: Any, lines: list[str]) -> None:
        from napari.components.overlays import TextOverlay

        if _CAPTION not in canvas.overlays:
            if not lines:
                return
            canvas.overlays[_CAPTION] = TextOverlay(position=_POSITION, **_LOOK)
        overlay = canvas.overlays[_CAPTION]
        overlay.text = "\n".join(reversed(lines)) or overlay.text
        overlay.visible = bool(lines)

    def _on_inserted(self, event: Any) -> None:
        self._follow(event.value)
        self.update()

    def _follow(self, layer: Layer) -> None:
        if not _is_tint(layer):
            return
        layer.events.visible.connect(self.update)
        layer.events.name.connect(self.update)  # which tells a threshold
        if hasattr(layer, "colorbar"):
            layer.colorbar.events.visible.connect(self.update)


def caption_of(record: Mapping[str, Any]) -> str:
    """What a tint measures, and its units.

    Examples
    --------
    >>> caption_of({"role": "variance", "units": "a.u.^2"}), caption_of({"role": "std", "units": ""})
    ('variance, a.u.²', 'standard deviation')
    >>> caption_of({"role": "probability", "caption": "P(value > 612 a.u.)"})
    'P(value > 612 a.u.)'
    """
    told = record.get("caption")
    if isinstance(told, str) and told:
        return told
    units = str(record.get("units") or "").replace("^2", "²")
    what = TINTS.get(str(record.get("role")), "")
    return f"{what}, {units}" if units else what


def _timer(slot: Callable[[], None]) -> QTimer:
    timer = QTimer()
    timer.setSingleShot(True)
    timer.setInterval(_SOON_MS)
    timer.timeout.connect(slot)
    return timer


def _tints_on_show(viewer: ViewerModel) -> list[Layer]:
    return [layer for layer in viewer.layers if _is_tint(layer) and layer.visible]


def _is_tint(layer: Layer) -> bool:
    record = layer.metadata.get("brgm")
    return isinstance(record, dict) and record.get("role") in TINTS and hasattr(layer, "contrast_limits")
