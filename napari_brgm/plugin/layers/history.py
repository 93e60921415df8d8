"""Runs taken back with one key, the last first, and brought again with another."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary, ref

from napari.layers import Image

if TYPE_CHECKING:
    from collections.abc import Sequence

    from napari.components import ViewerModel
    from napari.layers import Layer

__all__ = ["AGAIN_KEY", "BACK_KEY", "RunHistory", "history_of"]

BACK_KEY, AGAIN_KEY = "Control-Z", "Control-Shift-Z"  # while labels are active, napari takes strokes back with them
_MOST_BYTES = 1 << 30  # of pixels of runs taken back; the last is kept however large it is
_histories: WeakKeyDictionary[Any, RunHistory] = WeakKeyDictionary()


def history_of(viewer: ViewerModel) -> RunHistory:
    """The runs of a viewer; its keys are bound with the first one."""
    viewer = getattr(viewer, "__wrapped__", viewer)
    if viewer not in _histories:
        _histories[viewer] = RunHistory(viewer)
    return _histories[viewer]


class RunHistory:
    """Layers of runs, in the order in which they came, and those taken back, until another run is added."""

    def __init__(self, viewer: ViewerModel) -> None:
        self._viewer = ref(viewer)
        self._runs: list[list[ref[Layer]]] = []
        self._back: list[list[tuple[int, Layer]]] = []  # of each run, with places in the list of layers
        for key, verb in ((BACK_KEY, "take_back"), (AGAIN_KEY, "bring_again")):
            with suppress(ValueError):  # bound to something else by the person
                viewer.bind_key(key, self._calling(verb))

    def add(self, layers: Sequence[Layer]) -> None:
        """Remember the layers of a run that has ended."""
        bare = [getattr(layer, "__wrapped__", layer) for layer in layers]  # napari's proxies do not live as long
        self._runs.append([ref(layer) for layer in bare])
        self._back = []

    def take_back(self) -> None:
        """Remove the layers of the last run that has any left."""
        viewer = self._viewer()
        if viewer is None:
            return
        while self._runs:
            found = [layer for layer in (one() for one in self._runs.pop()) if layer is not None]
            there = [(viewer.layers.index(layer), layer) for layer in found if layer in viewer.layers]
            if there:
                self._back.append(sorted(there, key=lambda pair: pair[0]))
                while len(self._back) > 1 and sum(map(_bytes_of, self._back)) > _MOST_BYTES:
                    del self._back[0]
                name = self._back[-1][0][1].name
                for _, layer in there:
                    viewer.layers.remove(layer)
                scans = [layer for layer in viewer.layers if isinstance(layer, Image) and "brgm" not in layer.metadata]
                viewer.layers.selection.active = scans[-1] if scans else None  # with a mask the key takes back strokes
                viewer.status = f"took back '{name}'; {AGAIN_KEY} brings it again"
                return
        viewer.status = "there is no run to take back"

    def bring_again(self) -> None:
        """Put the layers of the run that was taken back last where they were."""
        viewer = self._viewer()
        if viewer is None:
            return
        if not self._back:
            viewer.status = "there is no run to bring again"
            return
        back = self._back.pop()
        for place, layer in back:
            viewer.layers.insert(min(place, len(viewer.layers)), layer)
        viewer.layers.selection.active = back[0][1]
        self._runs.append([ref(layer) for _, layer in back])
        viewer.status = f"brought '{back[0][1].name}' again"

    def _calling(self, verb: str) -> Any:
        own = ref(self)

        def pressed(_: ViewerModel) -> None:
            history = own()
            if history is not None:
                getattr(history, verb)()

        pressed.__doc__ = f"BRGM: {verb.replace('_', ' ')} the last run"
        return pressed


def _bytes_of(run: list[tuple[int, Layer]]) -> int:
    return sum(int(layer.data.nbytes) for _, layer in run)
