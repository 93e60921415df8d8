"""Explore widget: samples of a prior, and what lies between two slices."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from magicgui.widgets import ComboBox, SpinBox
from napari.layers import Image
from qtpy.QtWidgets import QPushButton

from napari_brgm.errors import Cancelled, InputError
from napari_brgm.plugin.explore import drawn
from napari_brgm.plugin.forms import SAFETY, form, grouped, wrapped
from napari_brgm.plugin.layers.shown import shown_slice
from napari_brgm.plugin.messages import Messages
from napari_brgm.plugin.preferences import preferences
from napari_brgm.plugin.prior_panel import DEVICE_TOOLTIP, PriorPanel

if TYPE_CHECKING:
    from collections.abc import Callable

    import napari.viewer

    from napari_brgm.plugin.background import Tell

__all__ = ["ExploreWidget"]

_HELP = "See what a prior knows: draw images from it, or what lies between two slices in its latent space."
_NOTICE = "Synthetic: drawn by a generative model; none of it shows a patient. Not for diagnosis."


class ExploreWidget(PriorPanel):
    """Draws from a prior into new layers. A prior without a density is not offered: there is nothing to draw from.

    Attributes
    ----------
    device, count, seed, first, second, steps : magicgui widgets
        The choices; ``.value`` reads and sets them.
    draw_button, interpolate_button : QPushButton
    """

    only_with_density = True

    def __init__(self, napari_viewer: napari.viewer.Viewer) -> None:
        super().__init__(napari_viewer)
        self._add: Callable[[drawn.DrawnImages], Image] | None = None
        self.device = ComboBox(
            label="Device", choices=["auto", "cpu", "cuda"], value=preferences().device, tooltip=DEVICE_TOOLTIP
        )
        self.count = SpinBox(label="Count", value=16, min=1, max=1024, tooltip="Images to draw")
        self.seed = SpinBox(label="Seed", value=0, min=0, max=2**31 - 1, tooltip="Same seed, same images")
        self.first, self.second = (
            ComboBox(label=label, choices=lambda _: self._layers(Image), tooltip="Its slice on show")
            for label in ("From", "To")
        )
        self.steps = SpinBox(label="Steps", value=8, min=2, max=512, tooltip="Images, both ends among them")
        self._lay_out()
        self.draw_button.clicked.connect(lambda: self._guarded(self.draw))
        self.interpolate_button.clicked.connect(lambda: self._guarded(self.interpolate))
        self.reset_choices()
        self.refresh_priors()
        self._show_running(False)

    # verbs

    def draw(self) -> None:
        """Draw images from the chosen prior; they come as one stack."""
        prior, device = self.chosen_prior(), self.device.value
        count, seed = self.count.value, self.seed.value
        self._start(
            lambda tell: drawn.drawn_samples(prior, count, seed, device, tell),
            lambda images: drawn.add_samples(self.viewer, prior, images),
            "the drawing",
        )

    def interpolate(self) -> None:
        """Draw what lies between the slices on show of two layers; it comes as one stack over the first."""
        prior, device, steps = self.chosen_prior(), self.device.value, self.steps.value
        first, second = self.first.value, self.second.value
        if first is None or second is None or first is second:
            raise InputError("an interpolation goes from one image to another; choose two different image layers")
        one, other = (shown_slice(layer, self.viewer.dims) for layer in (first, second))
        self._start(
            lambda tell: drawn.drawn_between(prior, one, other, steps, device, tell),
            lambda images: drawn.add_interpolation(self.viewer, first, second, (one, other), images),
            "the interpolation",
        )

    def reset_choices(self, event: object = None) -> None:
        """Follow the layer list, and offer two images where there are two."""
        before = len(self.first.choices)
        for box in (self.first, self.second):
            box.reset_choices()
        images: tuple[Any, ...] = self.second.choices
        if before < 2 <= len(images):
            self.second.value = next(image for image in images if image is not self.first.value)

    # the task

    def _start(
        self, work: Callable[[Tell], drawn.DrawnImages], add: Callable[[drawn.DrawnImages], Image], what: str
    ) -> None:
        self._add = add
        self._say("loading the prior ...")
        self._start_task(work, what)

    def _on_report(self, report: tuple[Any, ...]) -> None:
        super()._on_report(report)
        what, done, total = report
        if total:
            self._say(f"{what}, step {done} of {total}")

    def _on_result(self, images: drawn.DrawnImages) -> None:
        if self._add is None or self.task is None or self.task.cancelled:
            return self._on_error(Cancelled("cancelled"))
        layer = self._add(images)
        note = f" {images.note[:1].upper()}{images.note[1:]}." if images.note else ""
        self._say(f"added '{layer.name}'; its slider goes through {len(images.images)} images.{note}")

    def _show_running(self, running: bool) -> None:
        super()._show_running(running)
        for button in (self.draw_button, self.interpolate_button):
            button.setEnabled(not running)

    def _lay_out(self) -> None:
        layout = self.choices
        layout.addWidget(wrapped(_HELP))
        layout.addWidget(form(self.prior, self.hint, self.device))
        self.draw_button, self.interpolate_button = QPushButton("Draw samples"), QPushButton("Interpolate")
        self.draw_button.setToolTip("Draw images from the prior; they come as one stack")
        self.interpolate_button.setToolTip("Draw what lies between the two slices; it comes as one stack")
        layout.addWidget(grouped("Samples", form(self.count, self.seed), self.draw_button))
        ends = form(self.first, self.second, self.steps)
        layout.addWidget(grouped("Between two slices", ends, self.interpolate_button))
        layout.addStretch(1)
        self.foot.addLayout(self._progress_row())
        self.foot.addWidget(Messages(self.status))
        self.foot.addWidget(wrapped(_NOTICE, SAFETY))
