"""Before and after: while one key is held, the originals stand in place of what was computed from them."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING, Any
from weakref import ref

from napari.layers import Image

if TYPE_CHECKING:
    from collections.abc import Iterator

    from napari.components import ViewerModel
    from napari.layers import Layer

__all__ = ["HOLD_KEY", "Original"]

HOLD_KEY = "H"  # napari binds it to nothing
_SHOWN = f"original: let go of {HOLD_KEY} to see the result"
_NOTHING = "no result is on show whose original is among the layers"


class Original:
    """Binds the key, unless the person has bound it to something else.

    Attributes
    ----------
    held : bool
        Whether the originals are on show.
    """

    def __init__(self, viewer: ViewerModel) -> None:
        self._viewer = ref(viewer)
        self._before: list[tuple[Layer, bool]] = []
        self.held = False
        with suppress(ValueError):  # where it does what the person wants
            viewer.bind_key(HOLD_KEY, self._pressed())

    def show(self) -> None:
        """Show originals in place of results and tints."""
        viewer = self._viewer()
        if viewer is None or self.held:
            return
        hidden, originals = _runs_on_show(viewer)
        if not hidden:
            viewer.status = _NOTHING
            return
        self.held = True
        self._before = [(layer, True) for layer in hidden]
        self._before += [(layer, False) for layer in originals if not layer.visible]
        for layer in originals:
            layer.visible = True
        for layer in hidden:
            layer.visible = False
        viewer.status = _SHOWN
        self._watch_focus(True)

    def put_back(self, *_: object) -> None:
        """Show what was on show before; what the person deleted or switched meanwhile stays as it is."""
        viewer = self._viewer()
        if not self.held:
            return
        self.held = False
        self._watch_focus(False)
        before, self._before = self._before, []
        if viewer is None:
            return
        for layer, visible in before:
            if layer in viewer.layers:
                layer.visible = visible
        if viewer.status == _SHOWN:
            viewer.status = ""

    def _pressed(self) -> Any:
        own = ref(self)

        def hold(viewer: ViewerModel) -> Iterator[None]:
            """Show the original while the key is held."""
            original = own()
            if original is not None:
                original.show()
            yield
            if original is not None:
                original.put_back()

        return hold

    def _watch_focus(self, watch: bool) -> None:
        """The key is let go unheard where another window or widget has the focus by then."""
        from qtpy.QtWidgets import QApplication

        application = QApplication.instance()
        if not isinstance(application, QApplication):
            return
        if watch:
            application.focusChanged.connect(self.put_back)
        else:
            application.focusChanged.disconnect(self.put_back)


def _runs_on_show(viewer: ViewerModel) -> tuple[list[Layer], list[Layer]]:
    """Visible layers of runs whose original is among the layers, and these originals."""
    ours = [layer for layer in viewer.layers if _run_of(layer)]
    others = [layer for layer in viewer.layers if layer not in ours and isinstance(layer, Image)]
    found: dict[str, Layer] = {}
    for layer in ours:
        original = _original_of(layer, ours, others)
        if original is not None:
            found.setdefault(_run_of(layer), original)
    hidden = [layer for layer in ours if layer.visible and _run_of(layer) in found]
    originals = {id(original): original for original in (found[_run_of(layer)] for layer in hidden)}
    return hidden, list(originals.values())


def _run_of(layer: Layer) -> str:
    """What tells the run that a layer belongs to; '' for layers of none."""
    record = layer.metadata.get("brgm")
    if not isinstance(record, dict) or record.get("task") == "explore" or not record.get("source_layer"):
        return ""
    return str(record.get("of_run") or record.get("run") or record["source_layer"])


def _original_of(layer: Layer, ours: list[Layer], others: list[Layer]) -> Layer | None:
    """The layer that a result was computed from; of a result of a result, the first."""
    passed: list[Layer] = []
    while layer not in passed:
        passed.append(layer)
        source = layer.metadata["brgm"]["source_layer"]
        found = next((one for one in others if one.name == source), None) or _alike(layer, others)
        if found is not None:
            return found
        layer = next((one for one in ours if one.name == source), layer)
    return None


def _alike(layer: Layer, others: list[Layer]) -> Layer | None:
    """The source by what was noted of its file, as it may have another name by now."""
    scan = layer.metadata.get("scan")
    return next((one for one in others if scan is not None and one.metadata.get("scan") is scan), None)
