"""In-paint widget: restore what is painted over."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

import numpy as np
from magicgui.widgets import ComboBox, PushButton
from napari.layers import Labels

from napari_brgm.errors import BrgmError, InputError
from napari_brgm.plugin.layers import mask_on, shown_slice, stored
from napari_brgm.plugin.panel import RestorationPanel
from napari_brgm.plugin.results import geometry
from napari_brgm.plugin.scan_layers import mask_colours
from napari_brgm.plugin.worker import Job

if TYPE_CHECKING:
    from magicgui.widgets.bases import Widget
    from napari.layers import Image

    from napari_brgm.plugin.layers import ShownSlice

__all__ = ["InpaintWidget"]

_BRUSH_MM = 8.0


class InpaintWidget(RestorationPanel):
    """Restores the painted part of the slice on show; all other pixels stay as they were measured.

    Attributes
    ----------
    labels : ComboBox
        The mask: any painted label is missing.
    paint_button : PushButton
        Adds a labels layer on the image's grid, brush in hand.
    """

    task: ClassVar[str] = "in-paint"
    help: ClassVar[str] = "Paint over the artefact on the slice on show, then press Run."

    def inputs(self) -> list[Widget]:
        self.labels = ComboBox(
            label="Mask", choices=lambda _: self._layers(Labels), tooltip="Any painted label is missing"
        )
        self.paint_button = PushButton(
            text="Paint artefact mask", tooltip="New labels on the image's grid, brush in hand"
        )
        self.paint_button.clicked.connect(lambda: self.paint())
        return [self.labels, self.paint_button]

    def reset_choices(self, event: object = None) -> None:
        super().reset_choices(event)
        self.labels.reset_choices()

    def job(self, image: Image, shown: ShownSlice) -> Job:
        labels = self.labels.value
        if labels is None:
            raise InputError("there is no mask; press 'Paint artefact mask' and paint over the artefact")
        return Job(shown.image, missing=mask_on(shown, image, labels), spacing=shown.spacing, **self.common())

    def paint(self) -> None:
        """Add an empty mask over the image, ready to paint on."""
        try:
            image = self.chosen_image()
            shown = shown_slice(image, self.viewer.dims)
        except BrgmError as error:
            self._fail(error)
            return
        labels = self.viewer.add_labels(
            np.zeros(stored(image).shape, dtype=np.uint8),
            name=f"{image.name} artefact mask",
            opacity=0.6,
            colormap=mask_colours(),
            **geometry(image),
        )
        labels.brush_size = _brush(shown)
        labels.mode = "paint"
        self.viewer.layers.selection.active = labels
        self.labels.value = labels
        self._say("paint over the artefact, then press Run")


def _brush(shown: ShownSlice) -> int:
    """Width of the brush in pixels: 8 mm, or 4 % of the shorter side where the pixel size is not known."""
    if shown.spacing is None:
        return max(2, round(0.04 * int(min(shown.image.shape))))
    return max(2, round(_BRUSH_MM / float(max(shown.spacing))))
