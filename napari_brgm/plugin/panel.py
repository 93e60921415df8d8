"""What the widgets have in common: the choices, Run and Cancel, progress, and one run at a time.

Everything here lives in Qt's main thread. The worker is heard through signals whose slots are methods of this QWidget,
so that Qt delivers them in the main thread and drops them when the widget is gone.
"""

from __future__ import annotations

import logging
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from magicgui.widgets import CheckBox, ComboBox, PushButton, SpinBox
from napari.layers import Image
from napari.utils.notifications import show_error, show_warning
from qtpy.QtCore import QEvent, Qt
from qtpy.QtWidgets import QFormLayout, QHBoxLayout, QLabel, QProgressBar, QPushButton, QVBoxLayout, QWidget
from superqt import QCollapsible

import napari_brgm
from napari_brgm.errors import BrgmError, InputError
from napari_brgm.plugin import worker
from napari_brgm.plugin.layers import shown_slice
from napari_brgm.plugin.preferences import preferences
from napari_brgm.plugin.preview import Preview
from napari_brgm.plugin.results import NOTICE, Extras, add_results
from napari_brgm.settings import QUALITY_STEPS

if TYPE_CHECKING:
    import napari.viewer
    from magicgui.widgets.bases import Widget
    from napari.layers import Layer

    from napari_brgm.engine.restoration import Restoration
    from napari_brgm.inference.step import Step
    from napari_brgm.plugin.layers import ShownSlice
    from napari_brgm.plugin.worker import Job, RestorationWorker

__all__ = ["RestorationPanel"]

_LOG = logging.getLogger(__name__)
_PACKAGE = str(Path(napari_brgm.__file__).parent)
_METHODS = [("MAP: the most probable image", "map"), ("VI: mean of the posterior", "vi")]


class RestorationPanel(QWidget):
    """Base of the widgets; a subclass names its task, adds its inputs and makes the job.

    Attributes
    ----------
    image, prior, method, quality, device, seed, samples, with_std, with_samples : magicgui widgets
        The choices; ``.value`` reads and sets them.
    run_button, cancel_button : QPushButton
    progress : QProgressBar
    status : QLabel
        The last message: progress, result or error, one sentence.
    worker : RestorationWorker or None
        The run in progress.
    """

    task: ClassVar[str]
    help: ClassVar[str]

    def __init__(self, napari_viewer: napari.viewer.Viewer) -> None:
        super().__init__()
        self.viewer = napari_viewer
        self.worker: RestorationWorker | None = None
        self._preview: Preview | None = None
        self._source: tuple[Image, ShownSlice, Extras] | None = None
        self._began = 0.0
        chosen = preferences()
        self.image = ComboBox(
            label="Image", choices=lambda _: self._layers(Image), tooltip="The scan; its slice on show"
        )
        self.prior = ComboBox(label="Prior", choices=_priors(), tooltip="What the anatomy looks like: trained weights")
        self.method = ComboBox(label="Method", choices=_METHODS, tooltip="MAP is fast; VI fits the spread as well")
        self.quality = ComboBox(
            label="Quality",
            choices=[(f"{name} ({steps} steps)", name) for name, steps in QUALITY_STEPS.items()],
            value=chosen.quality,
        )
        self.device = ComboBox(label="Device", choices=["auto", "cpu", "cuda"], value=chosen.device)
        self.seed = SpinBox(label="Seed", value=0, min=0, max=2**31 - 1, tooltip="Same seed, same result")
        self.samples = SpinBox(label="Samples", value=32, min=2, max=1024, tooltip="Drawn from the posterior")
        self.with_std = CheckBox(text="Standard deviation layer", value=False)
        self.with_samples = CheckBox(text="Samples layer", value=False)
        self._choose_active()
        self._lay_out()
        self._show_running(False)
        if not self.prior.choices:
            self._say("no prior is installed; fetch one with 'napari-brgm weights fetch'")

    # what a subclass says

    def inputs(self) -> list[Widget]:
        """Make the widgets between the image and the prior."""
        raise NotImplementedError

    def job(self, image: Image, shown: ShownSlice) -> Job:
        """Make the job for this slice.

        Raises
        ------
        BrgmError
            The inputs cannot be used.
        """
        raise NotImplementedError

    def common(self) -> dict[str, Any]:
        """Fields of the job that all widgets share."""
        if self.prior.value is None:
            raise InputError("no prior is installed; fetch one with 'napari-brgm weights fetch'")
        return {
            "prior": self.prior.value,
            "method": self.method.value,
            "device": self.device.value,
            "steps": QUALITY_STEPS[self.quality.value],
            "samples": self.samples.value,
            "seed": self.seed.value,
        }

    # one run

    def run(self) -> None:
        """Restore the slice on show; what is wrong is said in one sentence."""
        if self.worker is not None:
            return
        try:
            image = self.chosen_image()
            shown = shown_slice(image, self.viewer.dims)
            job = self.job(image, shown)
        except BrgmError as error:
            self._fail(error)
            return
        self._source = (image, shown, Extras(std=self.with_std.value, samples=self.with_samples.value))
        self._preview = Preview(self.viewer, image, shown)
        self._began = time.monotonic()
        self._show_running(True)
        self._say("loading the prior ...")
        slots = {
            "yielded": self._on_step,
            "returned": self._on_result,
            "errored": self._on_error,
            "warned": self._on_warning,
            "aborted": self._on_abort,
            "finished": self._on_finish,
        }
        self.worker = worker.start(job, slots)

    def cancel(self) -> None:
        """Stop the run in progress within one step."""
        if self.worker is not None:
            self.worker.quit()
            self.cancel_button.setEnabled(False)
            self._say("cancelling ...")

    def chosen_image(self) -> Image:
        """Give the chosen image layer."""
        if self.image.value is None:
            raise InputError("there is no image to restore; open a scan first")
        return self.image.value

    def reset_choices(self, event: object = None) -> None:
        """Follow the layer list; napari connects this when the widget is docked."""
        self.image.reset_choices()

    def event(self, event: QEvent | None) -> bool:
        """Stop the run when napari takes the widget out of its window."""
        orphaned = event is not None and event.type() == QEvent.Type.ParentChange and self.parent() is None
        if orphaned and getattr(self, "worker", None):
            self.cancel()
            self._clear_preview()
        return bool(super().event(event))

    # slots

    def _on_step(self, step: Step) -> None:
        if self.worker is None or self.worker.abort_requested:
            return
        self.progress.setRange(0, step.total)
        self.progress.setValue(step.iteration)
        left = (time.monotonic() - self._began) / step.iteration * (step.total - step.iteration)
        now = f"about {left:.0f} s left" if step.iteration < step.total else "drawing samples ..."
        self._say(f"{step.phase.upper()} step {step.iteration} of {step.total}, loss {step.loss:.4g}, {now}")
        if step.preview is not None and self._preview is not None:
            self._preview.show(step.preview)

    def _on_result(self, result: Restoration) -> None:
        self._clear_preview()
        if self._source is None:
            return
        image, shown, extras = self._source
        layers = add_results(self.viewer, image, shown, result, self.task, extras)
        seconds = time.monotonic() - self._began
        notes = [f"{note[:1].upper()}{note[1:]}." for note in result.provenance.get("notes", ())]
        self._say(" ".join([f"added '{layers[-1].name}' and its variance after {seconds:.0f} s.", *notes]))

    def _on_error(self, error: Exception) -> None:
        if isinstance(error, BrgmError):
            self._fail(error)
        else:
            _LOG.error("the restoration failed", exc_info=error)
            self._fail(f"unexpected {type(error).__name__}: {error}; the log has the details")

    def _on_warning(self, warning: tuple[Any, ...]) -> None:
        message, category, file = warning[:3]
        if issubclass(category, UserWarning) and str(file).startswith(_PACKAGE):
            show_warning(str(message))
        else:
            _LOG.debug("%s: %s (%s)", category.__name__, message, file)

    def _on_abort(self) -> None:
        self._say("cancelled; nothing was changed")

    def _on_finish(self) -> None:
        self._clear_preview()
        self.worker = None
        self._source = None
        self._show_running(False)

    # display

    def _fail(self, error: BrgmError | str) -> None:
        self._say(str(error), bad=True)
        show_error(self.status.text())

    def _say(self, sentence: str, *, bad: bool = False) -> None:
        self.status.setText(sentence[:1].upper() + sentence[1:])
        self.status.setStyleSheet("color: #ff6b6b;" if bad else "")

    def _clear_preview(self) -> None:
        if self._preview is not None:
            self._preview.remove()
            self._preview = None

    def _show_running(self, running: bool) -> None:
        self.run_button.setEnabled(not running)
        self.cancel_button.setEnabled(running)
        self.progress.setVisible(running)
        self.progress.setRange(0, 0)  # busy until the first step

    def _layers(self, kind: type[Layer]) -> list[Layer]:
        """Layers of this kind, without uncertainties, samples and previews of earlier runs."""
        aside = ("variance", "std", "samples", "preview")
        return [
            layer
            for layer in self.viewer.layers
            if isinstance(layer, kind) and layer.metadata.get("brgm", {}).get("role") not in aside
        ]

    def _choose_active(self) -> None:
        active = self.viewer.layers.selection.active
        if active in self._layers(Image):
            self.image.value = active

    def _lay_out(self) -> None:
        layout = QVBoxLayout(self)
        layout.setAlignment(Qt.AlignmentFlag.AlignTop)
        for widget in (_wrapped(self.help), _form(self.image, *self.inputs(), self.prior, self.method, self.quality)):
            layout.addWidget(widget)
        advanced = QCollapsible("Advanced")
        advanced.addWidget(_form(self.device, self.seed, self.samples, self.with_std, self.with_samples))
        advanced.setDuration(0)
        layout.addWidget(advanced)

        self.run_button, self.cancel_button = QPushButton("Run"), QPushButton("Cancel")
        self.run_button.clicked.connect(lambda: self.run())
        self.cancel_button.clicked.connect(lambda: self.cancel())
        row = QHBoxLayout()
        row.addWidget(self.run_button)
        row.addWidget(self.cancel_button)
        layout.addLayout(row)
        self.progress = QProgressBar()
        self.progress.setTextVisible(True)
        layout.addWidget(self.progress)
        self.status = _wrapped("")
        layout.addWidget(self.status)
        notice = _wrapped(NOTICE)
        notice.setStyleSheet("color: #d9a441;")
        layout.addWidget(notice)


def _priors() -> list[str]:
    try:
        from napari_brgm.zoo.registry import available_priors
    except ImportError:
        return []
    return list(available_priors())


def _form(*widgets: Widget) -> QWidget:
    form = QWidget()
    layout = QFormLayout(form)
    layout.setContentsMargins(0, 0, 0, 0)
    layout.setFieldGrowthPolicy(QFormLayout.FieldGrowthPolicy.AllNonFixedFieldsGrow)
    for widget in widgets:
        layout.addRow("" if isinstance(widget, PushButton | CheckBox) else widget.label, widget.native)
    return form


def _wrapped(text: str) -> QLabel:
    label = QLabel(text)
    label.setWordWrap(True)
    return label
