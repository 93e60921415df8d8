"""LastResult: what a panel says of the result that it added last: nothing while it is taken back or deleted."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple, Protocol
from weakref import ref

if TYPE_CHECKING:
    import napari.viewer
    from napari.layers import Image

__all__ = ["LastResult", "Said"]


class Said(NamedTuple):
    """What is said of a result.

    Attributes
    ----------
    text : str
        What was done.
    source : Image
        That it was made of.
    notes : list of str
        What the person is to know of it.
    """

    text: str
    source: Image
    notes: list[str]


class _Panel(Protocol):
    @property
    def task(self) -> object | None: ...
    def say_of_result(self, said: Said) -> None: ...
    def say_no_more(self) -> None: ...


class LastResult:
    """Follows one layer in the list of layers; runs are brought again with one key.

    Parameters
    ----------
    viewer : napari.viewer.Viewer
    panel : object
        Told to say it, and to say it no more, unless something is under way in it.
    """

    def __init__(self, viewer: napari.viewer.Viewer, panel: _Panel) -> None:
        self._events, self._panel = viewer.layers.events, panel
        self._layer: ref[Image] | None = None  # of no run that was taken back for good
        self._said: Said | None = None
        self._events.removed.connect(self._on_removed)
        self._events.inserted.connect(self._on_inserted)

    def add(self, layer: Image, said: Said) -> None:
        """Say it of a result that has just been added."""
        bare = getattr(layer, "__wrapped__", layer)  # the window tells of it, not of napari's proxy
        self._layer, self._said = ref(bare), said
        self._panel.say_of_result(said)

    def let_go(self) -> None:
        """Follow the layers no longer."""
        self._events.removed.disconnect(self._on_removed)
        self._events.inserted.disconnect(self._on_inserted)

    def _on_removed(self, event: Any) -> None:
        if self._is_it(event.value):
            self._panel.say_no_more()

    def _on_inserted(self, event: Any) -> None:
        if self._said is not None and self._is_it(event.value):
            self._panel.say_of_result(self._said)

    def _is_it(self, layer: object) -> bool:
        return self._layer is not None and self._layer() is layer and self._panel.task is None
