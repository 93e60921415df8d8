"""Clean-up widget: take JPEG artefacts or noise off the slice on show."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, ClassVar

from magicgui.widgets import ComboBox, FloatSpinBox, SpinBox
from qtpy.QtWidgets import QDoubleSpinBox

from napari_brgm.engine.job import ObservedSlice
from napari_brgm.plugin.layers.planes import all_planes
from napari_brgm.plugin.restore.panel import RestorationPanel
from napari_brgm.plugin.restore.preview import Part

if TYPE_CHECKING:
    from collections.abc import Sequence

    from magicgui.widgets.bases import Widget
    from napari.layers import Image
    from qtpy.QtWidgets import QWidget

    from napari_brgm.corruptions import Corruption
    from napari_brgm.plugin.layers.shown import ShownSlice

__all__ = ["CleanWidget"]

_DAMAGES = [("JPEG compression", "jpeg"), ("Noise", "noise")]
_LARGEST_SIGMA = 1e6  # in the scan's units
_DECIMALS = 4  # scans of values 0 .. 1 have a sigma of hundredths


class CleanWidget(RestorationPanel):
    """Restores the slice on show when all of it is spoilt: every pixel becomes an estimate, none is kept as measured.

    Attributes
    ----------
    damage : ComboBox
        What happened: 'jpeg' or 'noise'.
    jpeg_quality : SpinBox
        Of the lossy compression, 1 to 100.
    noise_sigma : FloatSpinBox
        Standard deviation in the scan's units; 0: estimated from the slice.
    """

    restores: ClassVar[str] = "clean"
    help: ClassVar[str] = (
        "Say what spoilt the slice on show, then press Run. Every pixel becomes an estimate: small findings may be "
        "gone or made up."
    )

    def inputs(self) -> Sequence[Widget | QWidget]:
        self.damage = ComboBox(label="Damage", choices=_DAMAGES, tooltip="What happened to the slice")
        self.jpeg_quality = SpinBox(
            label="JPEG quality", value=10, min=1, max=100, tooltip="As Pillow and libjpeg count it: 1 is worst"
        )
        self.noise_sigma = FloatSpinBox(
            label="Noise sigma", value=0, min=0, max=_LARGEST_SIGMA, step=None,
            tooltip="Standard deviation in the scan's units; 0: estimated from the slice",
        )  # fmt: skip
        box = self.noise_sigma.native
        if isinstance(box, QDoubleSpinBox):
            box.setDecimals(_DECIMALS)
            box.setSpecialValueText("estimate from the slice")  # shown for 0
        self.damage.changed.connect(self._on_damage)
        self._on_damage(self.damage.value)
        return [self.damage, self.jpeg_quality, self.noise_sigma]

    def parts(self, image: Image, shown: ShownSlice, everywhere: bool) -> list[Part]:
        jpeg = self.damage.value == "jpeg"
        corruption = partial(_spoilt, int(self.jpeg_quality.value) if jpeg else None)
        sigma = None if jpeg else float(self.noise_sigma.value) or None
        planes = all_planes(image, shown) if everywhere else [shown]
        return [Part(plane, ObservedSlice(plane.image, corruption, plane.spacing, sigma)) for plane in planes]

    def _on_damage(self, damage: str) -> None:
        self.jpeg_quality.enabled = damage == "jpeg"
        self.noise_sigma.enabled = damage == "noise"


def _spoilt(quality: int | None) -> Corruption:
    """JPEG compression of this quality, or nothing but noise."""
    from napari_brgm.corruptions import Identity, Jpeg

    return Identity() if quality is None else Jpeg(quality)
