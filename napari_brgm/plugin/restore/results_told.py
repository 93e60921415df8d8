"""ResultsTold: what a panel says of the results that it added: of the newest that is there, and nothing without one."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple, Protocol
from weakref import ref

if TYPE_CHECKING:
    import napari.viewer
    from napari.layers import Image

__all__ = ["ResultsTold", "Said"]


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


class ResultsTold:
    """Follows results in the list of layers, from which runs are taken back, and to which they are brought again.

    Parameters
    ----------
    viewer : napari.viewer.Viewer
    panel : object
        Told to say something, and to say no more, unless something is under way in it.
    """

    def __init__(self, viewer: napari.viewer.Viewer, panel: _Panel) -> None:
        self._layers, self._panel = viewer.layers, panel
        self._told: list[tuple[ref[Image], Said]] = []
        self._layers.events.removed.connect(self._on_removed)
        self._layers.events.inserted.connect(self._on_inserted)

    def add(self, layer: Image, said: Said) -> None:
        """Say it of a result that has just been added."""
        bare = getattr(layer, "__wrapped__", layer)  # the window tells of it, not of napari's proxy
        self._told = [(one, of) for one, of in self._told if one() is not None]
        self._told.append((ref(bare), said))
        self._panel.say_of_result(said)

    @property
    def newest(self) -> Said | None:
        """What is said of the newest result that is there."""
        there = (said for layer, said in reversed(self._told) if layer() is not None and layer() in self._layers)
        return next(there, None)

    def let_go(self) -> None:
        """Follow the layers no longer."""
        self._layers.events.removed.disconnect(self._on_removed)
        self._layers.events.inserted.disconnect(self._on_inserted)

    def _on_removed(self, event: Any) -> None:
        if self._of(event.value) is None or self._panel.task is not None:
            return
        said = self.newest
        if said is None:
            self._panel.say_no_more()
        else:
            self._panel.say_of_result(said)

    def _on_inserted(self, event: Any) -> None:
        said = self._of(event.value)
        if said is not None and self._panel.task is None:
            self._panel.say_of_result(said)

    def _of(self, layer: object) -> Said | None:
        return next((said for one, said in self._told if one() is layer), None)
