"""Super-resolve widget: a finer grid for the slice on show."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from magicgui.widgets import SpinBox

from napari_brgm.plugin.panel import RestorationPanel
from napari_brgm.plugin.worker import Job

if TYPE_CHECKING:
    from magicgui.widgets.bases import Widget
    from napari.layers import Image

    from napari_brgm.plugin.layers import ShownSlice

__all__ = ["SuperResolveWidget"]


class SuperResolveWidget(RestorationPanel):
    """Restores the slice on show on a grid finer by a whole factor; averaged back, it agrees with what was measured.

    Attributes
    ----------
    factor : SpinBox
        Result pixels per pixel, along rows and columns.
    """

    task: ClassVar[str] = "super-resolve"
    help: ClassVar[str] = "Choose how many times finer the slice on show is to become, then press Run."

    def inputs(self) -> list[Widget]:
        self.factor = SpinBox(
            label="Factor", value=4, min=2, max=16, tooltip="Result pixels per pixel, along each axis"
        )
        return [self.factor]

    def job(self, image: Image, shown: ShownSlice) -> Job:
        return Job(shown.image, factor=self.factor.value, spacing=shown.spacing, **self.common())
