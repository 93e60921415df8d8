"""Everything of ours that stands on a viewer's canvas starts here, once a viewer."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary

from napari_brgm.plugin.canvas.colour_bars import ColourBars
from napari_brgm.plugin.canvas.letters import OrientationLetters
from napari_brgm.plugin.canvas.original import Original

if TYPE_CHECKING:
    from napari.components import ViewerModel

__all__ = ["follow", "follow_window"]

_followed: WeakKeyDictionary[Any, tuple[OrientationLetters, ColourBars, Original]] = WeakKeyDictionary()


def follow(viewer: ViewerModel) -> None:
    """From now on show orientation letters and colour bars, and the original while its key is held."""
    viewer = getattr(viewer, "__wrapped__", viewer)  # napari hands widgets a proxy, which does not live as long
    if viewer in _followed:
        return
    _followed[viewer] = OrientationLetters(viewer), ColourBars(viewer), Original(viewer)
    _without_square(viewer)


def follow_window() -> None:
    """The same for the window that is open."""
    from napari import current_viewer

    viewer = current_viewer()
    if viewer is not None:
        follow(viewer)


def _without_square(viewer: ViewerModel) -> None:
    """Take the ground from under napari's brush circle.

    napari 0.9 draws it as a dark square of 8 pixels when another overlay comes or goes while the brush is on the
    canvas, and leaves it there when the brush is put down.
    """
    canvas = getattr(viewer, "canvas", None)
    if canvas is not None and "_brush_circle" in canvas.overlays:
        canvas.overlays["_brush_circle"].box = False
