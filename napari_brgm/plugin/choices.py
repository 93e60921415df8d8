"""The choices that all widgets offer, their layout, and the line that says how things stand."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

from magicgui.widgets import CheckBox, ComboBox, PushButton, SpinBox
from napari.layers import Image
from napari.utils.notifications import show_error
from qtpy.QtWidgets import QFormLayout, QHBoxLayout, QLabel, QProgressBar, QPushButton, QVBoxLayout, QWidget
from superqt import QCollapsible

from napari_brgm.errors import BrgmError, InputError
from napari_brgm.plugin.preferences import preferences
from napari_brgm.plugin.results import NOTICE
from napari_brgm.settings import QUALITIES

if TYPE_CHECKING:
    import napari.viewer
    from magicgui.widgets.bases import Widget
    from napari.layers import Layer

__all__ = ["ChoicesPanel"]

_METHODS = [("MAP: the most probable image", "map"), ("VI: mean of the posterior", "vi")]


class ChoicesPanel(QWidget):
    """What to restore and how; knows nothing of runs.

    Attributes
    ----------
    image, prior, method, quality, device, seed, samples, with_std, with_samples : magicgui widgets
        The choices; ``.value`` reads and sets them.
    run_button, cancel_button : QPushButton
    progress : QProgressBar
    status : QLabel
        The last message: progress, result or error, one sentence.
    """

    help: ClassVar[str]

    def __init__(self, napari_viewer: napari.viewer.Viewer) -> None:
        super().__init__()
        self.viewer = napari_viewer
        chosen = preferences()
        qualities = [
            (name if part == 1 else f"{name} ({part:.2g} x the steps)", name) for name, part in QUALITIES.items()
        ]
        self.image = ComboBox(label="Image", choices=lambda _: self._layers(Image), tooltip="Its slice on show")
        self.prior = ComboBox(label="Prior", choices=[], tooltip="What the anatomy looks like: trained weights")
        self.method = ComboBox(label="Method", choices=_METHODS, tooltip="MAP is fast; VI fits the spread as well")
        self.quality = ComboBox(label="Quality", choices=qualities, value=chosen.quality)
        self.device = ComboBox(label="Device", choices=["auto", "cpu", "cuda"], value=chosen.device)
        self.seed = SpinBox(label="Seed", value=0, min=0, max=2**31 - 1, tooltip="Same seed, same result")
        self.samples = SpinBox(label="Samples", value=32, min=2, max=1024, tooltip="Drawn from the posterior")
        self.with_std = CheckBox(text="Standard deviation layer", value=False)
        self.with_samples = CheckBox(text="Samples layer", value=False)
        self._choose_active()
        self._lay_out()
        self.refresh_priors()

    def inputs(self) -> list[Widget]:
        """Make the widgets between the image and the prior."""
        raise NotImplementedError

    def common(self) -> dict[str, Any]:
        """Fields of the job that all widgets share."""
        if self.prior.value is None:
            raise InputError("no prior is installed; install napari-brgm again")
        return {
            "prior": self.prior.value,
            "method": self.method.value,
            "device": self.device.value,
            "quality": self.quality.value,
            "samples": self.samples.value,
            "seed": self.seed.value,
        }

    def chosen_image(self) -> Image:
        """Give the chosen image layer."""
        if self.image.value is None:
            raise InputError("there is no image to restore; open a scan first")
        return self.image.value

    def reset_choices(self, event: object = None) -> None:
        """Follow the layer list; napari connects this when the widget is docked."""
        self.image.reset_choices()

    def refresh_priors(self) -> None:
        """Offer the priors that are there now; the chosen one stays if it is among them."""
        try:
            self.prior.choices = priors()
        except BrgmError as error:
            self._fail(error)

    def _fail(self, error: BrgmError | str) -> None:
        self._say(str(error), bad=True)
        show_error(self.status.text())

    def _say(self, sentence: str, *, bad: bool = False) -> None:
        self.status.setText(sentence[:1].upper() + sentence[1:])
        self.status.setStyleSheet("color: #ff6b6b;" if bad else "")

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
        for widget in (_wrapped(self.help), _form(self.image, *self.inputs(), self.prior, self.method, self.quality)):
            layout.addWidget(widget)
        advanced = QCollapsible("Advanced")
        advanced.addWidget(_form(self.device, self.seed, self.samples, self.with_std, self.with_samples))
        advanced.setDuration(0)
        layout.addWidget(advanced)

        self.run_button, self.cancel_button = QPushButton("Run"), QPushButton("Cancel")
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
        layout.addStretch(1)


def priors() -> list[str]:
    """Names of the priors that are there."""
    from napari_brgm.zoo.registry import available_priors

    return available_priors()


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
