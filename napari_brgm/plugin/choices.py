"""The choices that all widgets that restore offer, and their layout."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

from magicgui.widgets import CheckBox, ComboBox, SpinBox
from napari.layers import Image
from qtpy.QtWidgets import QHBoxLayout, QProgressBar, QPushButton, QVBoxLayout
from superqt import QCollapsible

from napari_brgm.errors import InputError
from napari_brgm.plugin.preferences import preferences
from napari_brgm.plugin.prior_panel import UNTRAINED, PriorPanel, form, wrapped
from napari_brgm.plugin.results import NOTICE
from napari_brgm.settings import QUALITIES

if TYPE_CHECKING:
    import napari.viewer
    from magicgui.widgets.bases import Widget

__all__ = ["ChoicesPanel"]

_MAP, _VI = ("MAP: the most probable image", "map"), ("VI: mean of the posterior", "vi")
_METHOD_TOOLTIP = "MAP is fast; VI fits the spread as well"
_NO_VI = "VI is not offered: an untrained network has no density that VI could fit."


class ChoicesPanel(PriorPanel):
    """What to restore and how; knows nothing of runs.

    Attributes
    ----------
    image, method, quality, device, seed, samples, with_std, with_samples : magicgui widgets
        The choices; ``.value`` reads and sets them.
    run_button, cancel_button : QPushButton
    progress : QProgressBar
    """

    help: ClassVar[str]

    def __init__(self, napari_viewer: napari.viewer.Viewer) -> None:
        super().__init__(napari_viewer)
        chosen = preferences()
        qualities = [
            (name if part == 1 else f"{name} ({part:.2g} x the steps)", name) for name, part in QUALITIES.items()
        ]
        self.image = ComboBox(label="Image", choices=lambda _: self._layers(Image), tooltip="Its slice on show")
        self.method = ComboBox(label="Method", choices=[_MAP, _VI], tooltip=_METHOD_TOOLTIP)
        self.hint.setText(f"{self.hint.text()} {_NO_VI}")
        self._wants_vi = False  # again, once a prior is chosen that has a density
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
        return {
            "prior": self.chosen_prior(),
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

    def _on_prior(self, name: str | None) -> None:
        """Offer VI with priors that have a density, and say why it is not offered with the one that has none."""
        super()._on_prior(name)
        offered, untrained = len(self.method.choices) > 1, name == UNTRAINED
        if untrained and offered:
            self._wants_vi = self.method.value == "vi"
            self.method.choices = [_MAP]
        elif not untrained and not offered:
            self.method.choices = [_MAP, _VI]
            self.method.value = "vi" if self._wants_vi else "map"
        self.method.tooltip = _NO_VI if untrained else _METHOD_TOOLTIP

    def _choose_active(self) -> None:
        active = self.viewer.layers.selection.active
        if active in self._layers(Image):
            self.image.value = active

    def _lay_out(self) -> None:
        layout = QVBoxLayout(self)
        layout.addWidget(wrapped(self.help))
        layout.addWidget(form(self.image, *self.inputs(), self.prior, self.hint, self.method, self.quality))
        advanced = QCollapsible("Advanced")
        advanced.addWidget(form(self.device, self.seed, self.samples, self.with_std, self.with_samples))
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
        layout.addWidget(self.status)
        notice = wrapped(NOTICE)
        notice.setStyleSheet("color: #d9a441;")
        layout.addWidget(notice)
        layout.addStretch(1)
