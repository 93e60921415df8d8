"""ResultsTold: what a panel says of the results that it added: of the newest that is there, and nothing without one."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple, Protocol
from weakref import ref

if TYPE_CHECKING:
    import napari.viewer
    from napari.layers import Image
    from qtpy.QtWidgets import QLabel

__all__ = ["ResultsTold", "Said"]


class Said(NamedTuple):
    """What is said of a result.

    Attributes
    ----------
    text : str
        What was done.
    source : reference to an Image
        That it was made of,
    name : str
        and what that was called.
    notes : list of str
        What the person is to know of it.
    """

    text: str
    source: ref[Image]
    name: str
    notes: list[str]


class _Panel(Protocol):
    status: QLabel

    @property
    def task(self) -> object | None: ...
    def say_of_result(self, said: Said) -> None: ...
    def say_no_more(self) -> None: ...
    def offer_result(self, said: Said | None) -> None: ...


class ResultsTold:
    """Follows results in the list of layers, from which runs are taken back, and to which they are brought again.

    Parameters
    ----------
    viewer : napari.viewer.Viewer
    panel : object
        Told what to say, unless something is under way in it; other sentences than those of results are left to it.
    """

    def __init__(self, viewer: napari.viewer.Viewer, panel: _Panel) -> None:
        self._layers, self._panel = viewer.layers, panel
        self._told: list[tuple[ref[Image], Said]] = []
        self._shown: tuple[Said, str] | None = None  # what was said last, and how it stood there
        self._layers.events.removed.connect(self._on_removed)
        self._layers.events.inserted.connect(self._on_inserted)

    def add(self, layer: Image, said: Said) -> None:
        """Say it of a result that has just been added."""
        bare = getattr(layer, "__wrapped__", layer)  # the window tells of it, not of napari's proxy
        self._told = [(one, of) for one, of in self._told if one() is not None]
        self._told.append((ref(bare), said))
        self._say(said)

    @property
    def newest(self) -> Said | None:
        """What is said of the newest result that is there."""
        there = (said for layer, said in reversed(self._told) if layer() is not None and layer() in self._layers)
        return next(there, None)

    @property
    def speaks(self) -> bool:
        """Whether what it said last still stands there."""
        return self._shown is not None and self._shown[1] == self._panel.status.text()

    def let_go(self) -> None:
        """Follow the layers no longer."""
        self._layers.events.removed.disconnect(self._on_removed)
        self._layers.events.inserted.disconnect(self._on_inserted)

    def _on_removed(self, event: Any) -> None:
        gone, newest = self._of(event.value), self.newest
        if gone is None or self._panel.task is not None:
            return
        if not self.speaks or self._shown is None or self._shown[0] is not gone:
            self._panel.offer_result(newest)
        elif newest is None:
            self._panel.say_no_more()
        else:
            self._say(newest)

    def _on_inserted(self, event: Any) -> None:
        said = self._of(event.value)
        if said is not None and self._panel.task is None:
            self._say(said)

    def _say(self, said: Said) -> None:
        self._panel.say_of_result(said)
        self._shown = said, self._panel.status.text()

    def _of(self, layer: object) -> Said | None:
        return next((said for one, said in self._told if one() is layer), None)
