"""Keys for the widgets that restore: painting, running, cancelling, the next masked slice.

They are the viewer's, heard while the canvas has the focus, and go to the widget that is in front.
"""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING, Any, Protocol
from weakref import WeakKeyDictionary, WeakSet

if TYPE_CHECKING:
    from collections.abc import Callable

    from napari.components import ViewerModel

__all__ = ["KEYS", "KeyedWidget", "hear_keys", "with_key"]

KEYS = {"paint": "Shift-M", "run": "Shift-R", "cancel": "Shift-X", "next_masked": "Shift-N"}  # napari uses none of them


class KeyedWidget(Protocol):
    """What a key may be meant for; verbs of ``KEYS`` that it lacks are not its."""

    def isVisible(self) -> bool: ...


_heard: WeakKeyDictionary[Any, WeakSet[Any]] = WeakKeyDictionary()


def hear_keys(viewer: ViewerModel, widget: KeyedWidget) -> None:
    """Let the keys of a viewer do what the widget does, too; what a person has bound them to stays."""
    viewer = getattr(viewer, "__wrapped__", viewer)
    if viewer not in _heard:
        _heard[viewer] = WeakSet()
        for verb, key in KEYS.items():
            with suppress(ValueError):
                viewer.bind_key(key, _calling(verb))
    _heard[viewer].add(widget)


def with_key(tooltip: str, verb: str) -> str:
    """A tooltip that names the key.

    Examples
    --------
    >>> with_key("End what is under way", "cancel")
    'End what is under way (Shift-X)'
    """
    return f"{tooltip} ({KEYS[verb]})"


def _calling(verb: str) -> Callable[[ViewerModel], None]:
    def pressed(viewer: ViewerModel) -> None:
        for widget in list(_heard.get(viewer, ())):
            found = getattr(widget, f"on_key_{verb}", None)
            if found is not None and widget.isVisible() and not widget.visibleRegion().isEmpty():
                found()
                return
        viewer.status = f"no panel that is in front does '{verb.replace('_', ' ')}'"

    pressed.__doc__ = f"BRGM: {verb.replace('_', ' ')}"
    return pressed
