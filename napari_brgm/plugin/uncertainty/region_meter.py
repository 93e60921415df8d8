"""RegionMeter: measures regions of the run that is looked at, in a thread, and keeps the figures for a table."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from napari.layers import Labels
from qtpy.QtCore import QTimer
from qtpy.QtWidgets import QFileDialog, QWidget

from napari_brgm.errors import BrgmError, Cancelled
from napari_brgm.plugin.background import BackgroundTask
from napari_brgm.plugin.layers.file_names import named_part
from napari_brgm.plugin.layers.scans import source_of
from napari_brgm.plugin.uncertainty.regions import RunRegions

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    import napari.viewer

    from napari_brgm.engine.region import RegionDraws, RegionFigure
    from napari_brgm.plugin.uncertainty.region_box import RegionBox
    from napari_brgm.plugin.uncertainty.runs import InspectedRun

__all__ = ["RegionMeter"]

_LOOK_MS = 200
_NO_SAMPLES = "These results hold no samples, and intervals of regions are made from them."
_NO_LABELS = "Add a labels layer and paint the regions, each with a number of its own."


class RegionMeter(QWidget):
    """Never shown: a QWidget, so that Qt delivers what comes of the thread in the main one.

    ``level`` gives the level of the intervals when figures are asked for.

    Attributes
    ----------
    figures : dict of int to list of RegionFigure
        By the region's number; empty until something is measured.
    task : BackgroundTask or None
    """

    def __init__(
        self, parent: QWidget, viewer: napari.viewer.Viewer, box: RegionBox, level: Callable[[], float]
    ) -> None:
        super().__init__(parent)
        self.hide()
        self.viewer, self.box, self._asked_level = viewer, box, level
        self.figures: Mapping[int, Sequence[RegionFigure]] = {}
        self.task: BackgroundTask | None = None
        self._run: InspectedRun | None = None
        self._level, self._names = 0.9, dict[int, str]()
        self._timer = QTimer(self)
        self._timer.setInterval(_LOOK_MS)
        self._timer.timeout.connect(self._look)
        box.measure_button.clicked.connect(lambda: self._pressed())
        box.save_button.clicked.connect(lambda: self.save())
        box.choice.changed.connect(lambda _: self._forget())

    def offer(self) -> None:
        """Follow the layers of the viewer."""
        before = self.box.choice.value
        self.box.choice.choices = [(layer.name, layer) for layer in self.viewer.layers if isinstance(layer, Labels)]
        if self.box.choice.value is not before:  # the last one goes without a word
            self._forget()
        self._show()

    def look_at(
        self, run: InspectedRun | None, digits: int = 0, span: float = 1.0, threshold: float = 0.0
    ) -> None:  # fmt: skip
        """Another run is looked at, whose values span so much; ``threshold`` is one to begin with."""
        self._run = run
        if run is not None:
            self.box.set_units(digits, max(span / 100, 10.0**-digits), run.outcome.units, threshold)
        self._forget()

    def measure(self, level: float) -> None:
        """Measure the regions of the chosen labels, with intervals of this level; what is wrong is a sentence."""
        labels = self.box.choice.value
        if self.task is not None or self._run is None or not isinstance(labels, Labels):
            return
        self._forget()
        self._level, self._names = level, _names_of(labels)
        above = self.box.above.value() if self.box.above_box.isChecked() else None
        try:
            regions = RunRegions.of(self._run, labels, self.viewer.dims, above)
        except BrgmError as error:
            self.box.say(str(error), bad=True)
            return
        slots = {"returned": self._on_result, "errored": self._on_error, "finished": self._on_finish}
        self.task = BackgroundTask(regions.gather, "measuring", slots, with_torch=False)
        self._timer.start()
        self._show()

    def save(self, path: Path | None = None) -> None:
        """Write the table; without a path the person is asked for one."""
        if not self.figures or self._run is None:
            return
        path = self._asked() if path is None else path
        if path is None:
            return
        from napari_brgm.engine.region_table import write_region_table
        from napari_brgm.scans.outputs import Outputs

        try:
            with Outputs(path.parent, [path.name], overwrite=True, describe=False) as out:  # Qt has asked
                write_region_table(out.path(path.name), self.figures)
        except BrgmError as error:
            self.box.say(str(error), bad=True)
        else:
            self.box.say(f"saved {path.name}")

    def stop(self) -> None:
        """End what is under way, and forget the run."""
        if self.task is not None:
            self.task.cancel()
        self._run = None
        self._timer.stop()

    def _pressed(self) -> None:
        if self.task is None:
            self.measure(self._asked_level())
        else:
            self.task.cancel()

    def _asked(self) -> Path | None:
        base: Any = self._run.base if self._run is not None else None
        source = source_of(base)
        folder = source.parent if source is not None and source.parent.is_dir() else Path.home()
        proposed = str(folder / named_part(base, 1, "Regions", ".csv"))
        chosen, _ = QFileDialog.getSaveFileName(self.box, "Save table", proposed, "Tables (*.csv)")
        return Path(chosen) if chosen else None

    def _forget(self) -> None:
        """Figures of another run, or other labels, are not those of this one."""
        if self.task is not None:
            self.task.cancel()
        self.figures = {}
        self.box.show_figures({})
        self.box.say("")
        self._show()

    def _show(self) -> None:
        """Enable what there is something to do for, and say why not."""
        drawn = self._run is not None and len(self._run.planes[0].result.samples) > 0
        labels = self.box.choice.value is not None
        self.box.measure_button.setEnabled(drawn and labels)
        self.box.measure_button.setText("Measure" if self.task is None else "Cancel")
        for widget in (self.box.above_box, self.box.above):
            widget.setEnabled(drawn)
        if self._run is not None and not drawn:
            self.box.say(_NO_SAMPLES)
        elif not labels:
            self.box.say(_NO_LABELS)
        elif self.box.status.text() in (_NO_SAMPLES, _NO_LABELS):
            self.box.say("")

    def _look(self) -> None:
        if self.task is not None and self.task.report:
            what, done, total = self.task.report
            self.box.say(f"{what}, slice {done + 1} of {total} ...")

    def _on_result(self, found: dict[int, RegionDraws]) -> None:
        from napari_brgm.engine.region import UNCALIBRATED

        if self.task is None or self.task.cancelled:
            return
        self.figures = {number: draws.figures(self._level) for number, draws in found.items()}
        self.box.show_figures(self.figures, self._names)
        invented = any(one.synthetic for figures in self.figures.values() for one in figures)
        told = f"{100 * self._level:.0f} % intervals from the samples; {UNCALIBRATED}" if invented else ""
        self.box.say(told or "all of it was measured")

    def _on_error(self, error: Exception) -> None:
        if isinstance(error, Cancelled):
            self.box.say("cancelled")
        else:
            self.box.say(str(error) if isinstance(error, BrgmError) else f"unexpected {type(error).__name__}", bad=True)

    def _on_finish(self) -> None:
        self._timer.stop()
        self.task = None
        self._show()


def _names_of(labels: Labels) -> dict[int, str]:
    """Names of labels, where the layer's table of features has them beside its column 'index'."""
    features = labels.features
    column = next((name for name in ("name", "label", "region") if name in features), None)
    if column is None or "index" not in features:
        return {}
    return {int(number): str(name) for number, name in zip(features["index"], features[column], strict=True)}
