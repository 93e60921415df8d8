"""What the Explore widget shows: the prior, what to draw from it, progress, and how things stand."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from magicgui.widgets import ComboBox, SpinBox
from napari.layers import Image
from qtpy.QtCore import QSize
from qtpy.QtWidgets import QGroupBox, QHBoxLayout, QProgressBar, QPushButton, QVBoxLayout

from napari_brgm.plugin.forms import form, wrapped
from napari_brgm.plugin.preferences import preferences
from napari_brgm.plugin.prior_panel import PriorPanel

if TYPE_CHECKING:
    import napari.viewer
    from qtpy.QtWidgets import QWidget

__all__ = ["ExplorePanel"]

_HELP = "See what a prior knows: draw images from it, or what lies between two slices in its latent space."
_NOTICE = "Synthetic: drawn by a generative model; none of it shows a patient. Not for diagnosis."
_WIDTH = 330  # pixels


class ExplorePanel(PriorPanel):
    """Choices and buttons; knows nothing of what the buttons do. The untrained prior is not offered: it knows nothing.

    Attributes
    ----------
    device, count, seed, first, second, steps : magicgui widgets
        The choices; ``.value`` reads and sets them.
    draw_button, interpolate_button, cancel_button : QPushButton
    progress : QProgressBar
    """

    offers_untrained = False

    def __init__(self, napari_viewer: napari.viewer.Viewer) -> None:
        super().__init__(napari_viewer)
        self.device = ComboBox(label="Device", choices=["auto", "cpu", "cuda"], value=preferences().device)
        self.count = SpinBox(label="Count", value=16, min=1, max=1024, tooltip="Images to draw")
        self.seed = SpinBox(label="Seed", value=0, min=0, max=2**31 - 1, tooltip="Same seed, same images")
        self.first, self.second = (
            ComboBox(label=label, choices=lambda _: self._layers(Image), tooltip="Its slice on show")
            for label in ("From", "To")
        )
        self.steps = SpinBox(label="Steps", value=8, min=2, max=512, tooltip="Images, both ends among them")
        self._lay_out()
        self.reset_choices()
        self.refresh_priors()

    def sizeHint(self) -> QSize:
        """Wide enough for the names of layers."""
        return QSize(_WIDTH, super().sizeHint().height())

    def reset_choices(self, event: object = None) -> None:
        """Follow the layer list, and offer two images where there are two."""
        before = len(self.first.choices)
        for box in (self.first, self.second):
            box.reset_choices()
        images: tuple[Any, ...] = self.second.choices
        if before < 2 <= len(images):
            self.second.value = next(image for image in images if image is not self.first.value)

    def show_running(self, running: bool) -> None:
        """Let nothing else be started while something is under way."""
        for button in (self.draw_button, self.interpolate_button):
            button.setEnabled(not running)
        self.cancel_button.setEnabled(running)
        for widget in (self.progress, self.cancel_button):
            widget.setVisible(running)
        self.progress.setRange(0, 1)
        self.progress.setValue(0)

    def _lay_out(self) -> None:
        layout = QVBoxLayout(self)
        layout.addWidget(wrapped(_HELP))
        layout.addWidget(form(self.prior, self.hint, self.device))
        self.draw_button, self.interpolate_button = QPushButton("Draw samples"), QPushButton("Interpolate")
        layout.addWidget(_group("Samples", form(self.count, self.seed), self.draw_button))
        layout.addWidget(
            _group("Between two slices", form(self.first, self.second, self.steps), self.interpolate_button)
        )
        running = QHBoxLayout()
        self.progress, self.cancel_button = QProgressBar(), QPushButton("Cancel")
        running.addWidget(self.progress, 1)
        running.addWidget(self.cancel_button)
        layout.addLayout(running)
        layout.addWidget(self.status)
        notice = wrapped(_NOTICE)
        notice.setStyleSheet("color: #d9a441;")
        layout.addWidget(notice)
        layout.addStretch(1)


def _group(title: str, *widgets: QWidget) -> QGroupBox:
    group = QGroupBox(title)
    layout = QVBoxLayout(group)
    for widget in widgets:
        layout.addWidget(widget)
    return group
