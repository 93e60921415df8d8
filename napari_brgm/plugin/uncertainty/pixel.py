"""The pixel under the cursor: follows the mouse of a viewer, says what is believed there, and draws it.

The mouse is heard many times a second: a move costs a look-up and three labels; the plot follows ten times a second.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np
from qtpy.QtCore import QTimer

from napari_brgm.plugin.layers.outcome import PINNED_KEY, probability_above
from napari_brgm.plugin.uncertainty.panel import UncertaintyPanel
from napari_brgm.plugin.uncertainty.runs import key_of

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    import napari.viewer
    import numpy.typing as npt

    from napari_brgm.engine.restoration import Restoration
    from napari_brgm.plugin.uncertainty.runs import InspectedRun

__all__ = ["PixelPanel", "decimals_for", "words"]

_REDRAW_MS = 100  # between redraws of the plot
_NONE = "nothing restored yet", "Run In-paint, Super-resolve or Clean up,", "or open saved results."
_DEEP = "no pixel", "Switch to the two-dimensional view to read pixels.", ""
_NOT_YET = "no pixel yet", "", ""
_MOVE = "move the cursor over\nwhat was restored"
_MEASURED = "measured: nothing is\nuncertain here"


class PixelPanel(UncertaintyPanel):
    """Reads pixels of ``run``; a subclass chooses the run.

    Attributes
    ----------
    viewer : napari.viewer.Viewer
    run : InspectedRun or None
        What is looked at.
    pixel : Restoration or None
        What the readout is about, without rows and columns; None outside of what was restored.
    """

    def __init__(self, napari_viewer: napari.viewer.Viewer) -> None:
        super().__init__()
        self.viewer = napari_viewer
        self.run: InspectedRun | None = None
        self.pixel: Restoration | None = None
        self._index: npt.NDArray[np.float64] | None = None  # of the pixel, in the base layer's data
        self._digits = 0
        self._redraw = self.timer(_REDRAW_MS, self._draw, once=True)
        self._connections: tuple[tuple[Any, Any], ...] = (
            (napari_viewer.dims.events.current_step, self._on_dims),
            (napari_viewer.dims.events.ndisplay, self._on_dims),
            (napari_viewer.events.theme, self._on_theme),
        )
        for signal, slot in self._connections:
            signal.connect(slot)
        napari_viewer.mouse_move_callbacks.append(self._on_move)
        napari_viewer.mouse_drag_callbacks.append(self._on_press)
        self.pin_button.toggled.connect(self._on_pin)
        self._on_theme()

    @property
    def level(self) -> float:
        """The credible level, as a fraction."""
        return self.level_slider.value() / 100

    def look(self, position: Sequence[float]) -> None:
        """Show the pixel at a position in the viewer's world."""
        if self.run is None:
            return
        flat = self.viewer.dims.ndisplay == 2
        self._index = self.run.index(self.viewer.dims, position) if flat else None
        self.pixel = None if self._index is None else self.run.at(self._index)
        self.tell()

    def look_at_nothing(self) -> None:
        """Forget the pixel, as of a run that is no longer looked at."""
        self.pixel = self._index = None
        self.pin_button.setChecked(False)
        self.tell()

    def tell(self) -> None:
        """Say what is believed of the pixel, and draw it soon."""
        for label, text in zip((self.value, self.trust, self.place), self._lines(), strict=True):
            if label.text() != text:
                label.setText(text)
        if not self._redraw.isActive():
            self._redraw.start()

    def marks(self) -> tuple[float | None, int | None]:
        """What else to mark in the plot: a threshold, and the number of a sample from 0."""
        return None, None

    def timer(self, milliseconds: int, slot: Callable[[], None], *, once: bool = False) -> QTimer:
        """Make a timer that goes with this widget."""
        timer = QTimer(self)
        timer.setInterval(milliseconds)
        timer.setSingleShot(once)
        timer.timeout.connect(slot)
        return timer

    def let_go(self) -> None:
        """Hear nothing more from the viewer."""
        self._redraw.stop()
        for signal, slot in self._connections:
            signal.disconnect(slot)
        self._connections = ()
        callbacks = (
            (self.viewer.mouse_move_callbacks, self._on_move),
            (self.viewer.mouse_drag_callbacks, self._on_press),
        )
        for heard, own in callbacks:
            if own in heard:
                heard.remove(own)

    # slots

    def _on_move(self, viewer: Any, event: Any) -> None:
        if not self.pin_button.isChecked():
            self.look(event.position)

    def _on_press(self, viewer: Any, event: Any) -> None:
        if "Shift" in event.modifiers and self.run is not None:
            self.look(event.position)
            self.pin_button.setChecked(True)
            self._on_pin(True)  # another pixel than before

    def pin_again(self) -> None:
        """Hold on to the pixel that was pinned when this run was last looked at, or saved."""
        kept = None if self.run is None else self.run.base.metadata.get(PINNED_KEY)
        if self.run is None or not isinstance(kept, list) or len(kept) != self.run.base.ndim:
            return
        self._index = np.array(kept, dtype=float)
        self.pixel = self.run.at(self._index)
        self.pin_button.setChecked(True)
        self.tell()

    def _on_pin(self, pinned: bool) -> None:
        self.pin_button.setText("Pinned: press to let go" if pinned else "Pin this pixel")
        if self.run is None or self._index is None or not np.isfinite(self._index).all():
            return  # of a run that is no longer looked at
        for layer in self.viewer.layers:
            if key_of(layer) == self.run.key:  # one that was opened has it in all its layers
                layer.metadata.pop(PINNED_KEY, None)
        if pinned:
            self.run.base.metadata[PINNED_KEY] = np.floor(self._index + 0.5).astype(int).tolist()  # is saved with it

    def _on_dims(self, event: object = None) -> None:
        """When a slider moves, another pixel lies under the resting cursor."""
        dims, cursor = self.viewer.dims, self.viewer.cursor.position
        if self.pin_button.isChecked() or self.run is None or len(cursor) != dims.ndim:
            return
        self.look([cursor[axis] if axis in dims.displayed else dims.point[axis] for axis in range(dims.ndim)])

    def _on_theme(self, event: object = None) -> None:
        self.plot.set_theme(self.viewer.theme)

    def _lines(self) -> tuple[str, str, str]:
        if self.run is None:
            return _NONE
        if self._index is None:
            return _NOT_YET if self.viewer.dims.ndisplay == 2 else _DEEP
        value, trust = words(self.pixel, self.level, self.run.outcome.units, self._digits)
        if self.pixel is None:
            return value, trust, ""
        where = ", ".join(str(int(i)) for i in np.floor(self._index + 0.5))
        if self.pixel.measured:
            return value, trust, f"pixel ({where})"
        threshold = self.threshold.value()
        above = float(probability_above(self.pixel, threshold, len(self.pixel.samples) > 0))
        probability = f"P(value > {threshold:.{self._digits}f}) = {above:.2f}"
        return value, trust, f"{probability} · pixel ({where})"

    def _draw(self) -> None:
        pixel = self.pixel
        if pixel is None or self.run is None or not pixel.std > 0:
            self.plot.show_nothing(_MOVE if pixel is None else _MEASURED)
            return
        threshold, sample = self.marks()
        self.plot.show_pixel(pixel, self.level, self.run.outcome.units, threshold=threshold, sample=sample)


def words(pixel: Restoration | None, level: float, units: str, digits: int) -> tuple[str, str]:
    """What to say of a pixel, in two lines: its value, and how far to trust it."""
    unit = f" {units}" if units else ""
    if pixel is None:
        return "outside what was restored", ""
    if pixel.measured:
        return f"measured: {pixel.estimate:.{digits}f}{unit}", "kept as it was; nothing is estimated here"
    low, high = pixel.interval(level)
    how = "Gaussian" if pixel.widths is None else "calibrated"
    return (
        f"estimate {pixel.estimate:.{digits}f} ± {pixel.std:.{digits}f}{unit}",
        f"{100 * level:.0f} % interval {low:.{digits}f} … {high:.{digits}f} · {how}",
    )


def decimals_for(span: float) -> int:
    """Digits after the point for values that span so much: a thousandth of it.

    Examples
    --------
    >>> decimals_for(1000.0), decimals_for(1.0)
    (0, 3)
    """
    return min(max(3 - round(math.log10(span)), 0), 6) if math.isfinite(span) and span > 0 else 3
