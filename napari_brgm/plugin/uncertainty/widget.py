"""Uncertainty widget: how far to trust each pixel of a restoration.

Under the cursor: value, interval, histogram. Over the slice: one sample at a time, P(value > threshold), and an outline
of what is too uncertain. The widget lives in Qt's main thread; planes of maps are made in another.
"""

from __future__ import annotations

import logging
from importlib import import_module
from typing import TYPE_CHECKING

import numpy as np
from napari.utils.notifications import show_error
from qtpy.QtCore import QEvent, QSignalBlocker

from napari_brgm.errors import BrgmError
from napari_brgm.plugin.background import BackgroundTask
from napari_brgm.plugin.canvas.follow import follow
from napari_brgm.plugin.uncertainty.making import MapMaker
from napari_brgm.plugin.uncertainty.maps import UncertaintyMaps
from napari_brgm.plugin.uncertainty.outline import averaged
from napari_brgm.plugin.uncertainty.pixel import PixelPanel, decimals_for
from napari_brgm.plugin.uncertainty.prepared import PreparedSamples
from napari_brgm.plugin.uncertainty.region_meter import RegionMeter
from napari_brgm.plugin.uncertainty.runs import key_of, runs_in

if TYPE_CHECKING:
    from collections.abc import Callable

    import napari.viewer

    from napari_brgm.plugin.layers.outcome import RestoredPlane
    from napari_brgm.plugin.uncertainty.runs import InspectedRun

__all__ = ["UncertaintyWidget", "usual_limit", "usual_threshold"]

_LOG = logging.getLogger(__name__)

_PLAY_MS = 200
_REST_MS = 400  # after which a sample counts as chosen: its other planes are made, and the layer is named after it
_FINISHED = (
    "Samples, their histogram and probabilities have the texture of scans added by a network, and at each pixel the "
    "stated mean and spread, which were calibrated on the draws before it."
)
_GAUSSIAN = "These results hold no samples: probabilities are those of a Gaussian of each pixel's mean and variance."


class UncertaintyWidget(PixelPanel):
    """Follows the cursor and the layers of a viewer.

    Attributes
    ----------
    maps : UncertaintyMaps
    region_meter : RegionMeter
    """

    def __init__(self, napari_viewer: napari.viewer.Viewer) -> None:
        super().__init__(napari_viewer)
        follow(napari_viewer)
        self._maker, self._samples = MapMaker(self, self._refresh, self._on_failure), PreparedSamples()
        self.maps = UncertaintyMaps(napari_viewer, self._maker, self._samples)
        self.region_meter = RegionMeter(self, napari_viewer, self.regions, lambda: self.level)
        self._runs: dict[str, InspectedRun] = {}
        BackgroundTask(_load_labels, "loading", {}, with_torch=False)
        self._later = self.timer(0, self._tidy, once=True)
        self._play, self._rest = self.timer(_PLAY_MS, self._next), self.timer(_REST_MS, self._settle, once=True)
        active = napari_viewer.layers.selection.events.active
        active.connect(self._on_active)
        self._connections = (*self._connections, (active, self._on_active))
        self.run_choice.changed.connect(self._on_run)
        self.level_slider.valueChanged.connect(self._on_level)
        self.sample_slider.valueChanged.connect(self.show_sample)
        self.play_button.clicked.connect(lambda: self.play())
        self.hide_button.clicked.connect(lambda: self.hide_sample())
        self.probability_box.toggled.connect(self._show_probability)
        self.threshold.valueChanged.connect(self._show_probability)
        self.contour_box.toggled.connect(self._show_contour)
        self.limit.valueChanged.connect(self._show_contour)
        self._show_choices()
        self._on_level()
        self.reset_choices()
        self._on_active()

    def reset_choices(self, event: object = None) -> None:
        """Follow the layer list; napari connects this when the widget is docked."""
        if not self._connections:
            return
        self.region_meter.offer()
        self._runs = runs_in(self.viewer.layers, self._runs)
        self.run_choice.choices = [(run.base.name, key) for key, run in self._runs.items()]
        self._on_run(self.run_choice.value)
        self._later.start()

    def event(self, event: QEvent | None) -> bool:
        """Let go of the viewer when napari takes the widget out of its window."""
        orphaned = event is not None and event.type() == QEvent.Type.ParentChange and self.parent() is None
        if orphaned and getattr(self, "_connections", None):
            self.let_go()
        return bool(super().event(event))

    def let_go(self) -> None:
        """Stop, and leave no trace in the viewer but the maps."""
        super().let_go()
        for timer in (self._later, self._rest, self._play):
            timer.stop()
        self._maker.stop()
        self._samples.forget()
        self.region_meter.stop()
        self.maps.sample.remove()
        for live in self.maps.all:
            live.forget()
        self.run, self._runs = None, {}

    def marks(self) -> tuple[float | None, int | None]:
        """The threshold and the sample that are on show."""
        threshold = self.threshold.value() if self.probability_box.isChecked() else None
        return threshold, None if self.maps.sample.layer is None else self.sample_slider.value() - 1

    # the run

    def _on_active(self, event: object = None) -> None:
        key = key_of(self.viewer.layers.selection.active)
        if key in self._runs:
            self.run_choice.value = key

    def _on_run(self, key: str | None) -> None:
        run = None if key is None else self._runs.get(key)
        if run is self.run:
            return
        self.run = run
        self._samples.forget()
        if run is not None:
            plane = run.nearest_first(self.viewer.dims)[0]
            span = float(np.ptp(plane.result.estimate))
            self._digits = decimals_for(span)
            blocked = [QSignalBlocker(widget) for widget in (self.threshold, self.limit, self.sample_slider)]
            self.set_span(span, self._digits, run.outcome.units)
            self.threshold.setValue(usual_threshold(plane))
            self.limit.setValue(usual_limit(plane, self.level))
            self.sample_slider.setRange(1, max(len(plane.result.samples), 1))
            self.sample_slider.setValue(1)
            del blocked
            self.region_meter.look_at(run, self._digits, span, self.threshold.value())
        else:
            self.region_meter.look_at(None)
        self.look_at_nothing()
        self.pin_again()
        self._show_choices()
        self._later.start()

    def _tidy(self) -> None:
        """Take away maps of a run that is no longer looked at, and see which ones the person deleted.

        Not at once: layers must not be removed while napari removes layers.
        """
        maps = (
            (self.maps.sample, None),
            (self.maps.probability, self.probability_box),
            (self.maps.contour, self.contour_box),
        )
        for live, box in maps:
            deleted = live.run is not None and live.layer is None
            if deleted:
                live.forget()
                if live is self.maps.probability:
                    self.maps.put_back()
            elif live.run is not None and live.run is not self.run:
                live.remove()
            if box is not None and (deleted or self.run is None):
                box.setChecked(False)
        if self.probability_box.isChecked() and self.maps.probability.run is None:
            self._show_probability()
        if self.contour_box.isChecked() and self.maps.contour.run is None:
            self._show_contour()
        if self.maps.sample.layer is None:
            self._stop()

    # samples

    def show_sample(self, number: int) -> None:
        """Show one sample, counted from 1, over its slice."""
        if self.run is None or not len(self.run.planes[0].result.samples):
            return
        self.maps.show_sample(self.run, number - 1, self.sample_slider.maximum(), settled=False)
        self._rest.start()
        self._show_choices()
        self.tell()

    def _settle(self) -> None:
        """A sample stays: all of its planes are wanted, and its name is told."""
        if self.run is None or self.maps.sample.layer is None or self.maps.sample.run is not self.run:
            return
        self.maps.show_sample(self.run, self.sample_slider.value() - 1, self.sample_slider.maximum())

    def play(self) -> None:
        """Go through the samples again and again, or stop."""
        if self._play.isActive():
            self._stop()
        elif self.run is not None:
            self.show_sample(self.sample_slider.value())
            self._play.start()
            self.play_button.setText("Stop")

    def hide_sample(self) -> None:
        """Take the sample away."""
        self.maps.sample.remove()
        self._stop()
        self.tell()

    def _next(self) -> None:
        if self.maps.sample.layer is None or self.run is None:
            self._stop()
            return
        if self.maps.sample.pending:
            return  # the last one is not on the screen yet
        self.sample_slider.setValue(self.sample_slider.value() % self.sample_slider.maximum() + 1)

    def _stop(self) -> None:
        if self._play.isActive():
            self._rest.start()  # the one on show is told by its number again
        self._play.stop()
        self.play_button.setText("Play")
        self._show_choices()

    # maps

    def _on_level(self, _: object = None) -> None:
        self.level_label.setText(f"{self.level_slider.value()} %")
        self.tell()
        self._show_contour()

    def _show_probability(self, _: object = None) -> None:
        if self.run is None or not self.probability_box.isChecked():
            self.maps.hide_probability()
        else:
            self.maps.show_probability(self.run, self.threshold.value(), self.threshold.text())
        self.tell()

    def _show_contour(self, _: object = None) -> None:
        if self.run is None or not self.contour_box.isChecked():
            self.maps.contour.remove()
        else:
            self.maps.show_contour(self.run, self.level, self.limit.value(), self.limit.text())

    def _on_dims(self, event: object = None) -> None:
        """What comes onto the screen is made first."""
        super()._on_dims(event)
        for live in self.maps.all:
            live.follow()

    def _refresh(self) -> None:
        for live in self.maps.all:
            live.refresh()

    def _on_failure(self, error: Exception) -> None:
        _LOG.error("a map could not be made", exc_info=error)
        show_error(f"The map cannot be made: {error if isinstance(error, BrgmError) else type(error).__name__}")

    def _show_choices(self) -> None:
        """Enable what there is something to do for."""
        there = self.run is not None
        drawn = self.run is not None and len(self.run.planes[0].result.samples) > 0
        shown = self.maps.sample.layer is not None
        for widget in (
            self.level_slider,
            self.pin_button,
            self.probability_box,
            self.threshold,
            self.contour_box,
            self.limit,
        ):
            widget.setEnabled(there)
        for widget in (self.sample_slider, self.play_button):
            widget.setEnabled(drawn)
        self.hide_button.setEnabled(shown)
        number = f"{self.sample_slider.value()} of {self.sample_slider.maximum()}"
        self.sample_label.setText(number if shown else "none shown")
        trust = "" if self.run is None else self.run.trust
        told = [
            f"{trust[:1].upper()}{trust[1:]}." if trust else "",
            _GAUSSIAN if there and not drawn else "",
            _FINISHED if self.run is not None and drawn and self.run.finished else "",
        ]
        self.status.setText(" ".join(filter(None, told)))


def _load_labels(tell: Callable[..., None]) -> None:
    """Import what the first layer of labels of a session takes half a second for."""
    import_module("pandas")


def usual_threshold(plane: RestoredPlane) -> float:
    """A threshold to begin with: the median of what was estimated, background left out."""
    values = plane.result.estimate[plane.free] if plane.free.any() else plane.result.estimate
    low, high = float(values.min()), float(values.max())
    return float(np.median(values[values >= low + 0.1 * (high - low)]))


def usual_limit(plane: RestoredPlane, level: float) -> float:
    """A limit of the interval's width to begin with: a tenth of what was estimated is wider."""
    return float(np.percentile(averaged(plane.width(level), plane.free)[plane.free], 90)) if plane.free.any() else 0.0
