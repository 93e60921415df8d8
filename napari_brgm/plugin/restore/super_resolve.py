"""Super-resolve widget: finer pixels in the plane, or thinner slices through it."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, ClassVar

from magicgui.widgets import ComboBox, FloatSpinBox, SpinBox

from napari_brgm.engine.advice import same_plane
from napari_brgm.engine.job import ObservedSlice
from napari_brgm.errors import BrgmError, InputError
from napari_brgm.plugin.forms import show_row
from napari_brgm.plugin.layers.anatomy import plane_of
from napari_brgm.plugin.layers.planes import all_planes, reformatted_planes, thick_axis
from napari_brgm.plugin.restore.panel import RestorationPanel
from napari_brgm.plugin.restore.preview import Part

if TYPE_CHECKING:
    import napari.viewer
    from magicgui.widgets.bases import Widget
    from napari.layers import Image

    from napari_brgm.corruptions import Corruption
    from napari_brgm.plugin.layers.shown import ShownSlice

__all__ = ["SuperResolveWidget"]

_WAYS = [
    ("finer pixels, by a factor", "factor"),
    ("finer pixels, to a size", "size"),
    ("thinner slices (through the plane)", "through"),
]
_LARGEST = 64  # times finer


class SuperResolveWidget(RestorationPanel):
    """Restores slices on a finer grid; averaged back, they agree with what was measured.

    Attributes
    ----------
    way : ComboBox
        'factor', 'size' or 'through'.
    factor : SpinBox
        Result pixels per pixel, along rows and columns.
    target : FloatSpinBox
        Pixel size, or through the plane the distance of the slices, to reach, in mm.
    thickness : FloatSpinBox
        Through the plane: thickness of the slices in mm; 0: as far as they are apart.
    """

    restores: ClassVar[str] = "super-resolve"
    help: ClassVar[str] = "Choose how much finer the slice on show, or the whole scan, is to become, then press Run."

    def __init__(self, napari_viewer: napari.viewer.Viewer) -> None:
        super().__init__(napari_viewer)
        self._on_way(self.way.value)

    def inputs(self) -> list[Widget]:
        self.way = ComboBox(label="Refine", choices=_WAYS, tooltip="What is too coarse")
        self.factor = SpinBox(
            label="Factor", value=4, min=2, max=16, tooltip="Result pixels per pixel, along each axis"
        )
        self.target = FloatSpinBox(
            label="To (mm)", value=1.0, min=0.05, max=50, step=0.1, tooltip="Pixel size, or distance of the slices"
        )
        self.thickness = FloatSpinBox(
            label="Slices are (mm)", value=0.0, min=0.0, max=50, step=0.1,
            tooltip="Thickness of the slices; 0: as thick as they are apart",
        )  # fmt: skip
        self.way.changed.connect(self._on_way)
        return [self.way, self.factor, self.target, self.thickness]

    def parts(self, image: Image, shown: ShownSlice, everywhere: bool) -> list[Part]:
        if self.way.value == "through":
            return self._through(image, shown, everywhere)
        planes = all_planes(image, shown) if everywhere else [shown]
        factor = self._factors(image, shown)
        return _refined(planes, factor)

    def plane(self) -> tuple[str, tuple[float, float] | None]:
        """Of the reformatted planes, where slices are to become thinner; else of the slice on show."""
        shown, spacing = super().plane()
        if self.way.value != "through":
            return shown, spacing
        try:
            image = self.chosen_image()
            thick, _, finest = thick_axis(image)
        except BrgmError:
            return shown, spacing
        known = {entry.plane for entry in self._entries.values() if entry.plane}
        planes = [p for axis in range(image.ndim) if axis != thick and (p := plane_of(image, thick, axis))]
        liked = (p for p in planes if any(same_plane(p, other) for other in known))
        return next(liked, planes[0] if planes else ""), (finest, finest)

    def _factors(self, image: Image, shown: ShownSlice) -> tuple[float, float]:
        if self.way.value == "factor":
            return float(self.factor.value), float(self.factor.value)
        if shown.spacing is None:
            raise InputError(f"the pixel size of '{image.name}' is not known; choose a factor instead of a size")
        target = float(self.target.value)
        row, column = (max(1.0, spacing / target) for spacing in shown.spacing)
        if max(row, column) <= 1 or max(row, column) > _LARGEST:
            size = " x ".join(f"{s:.3g}" for s in shown.spacing)
            raise InputError(f"the pixels are {size} mm; choose a size below that, and not below a 64th of it")
        return row, column

    def _through(self, image: Image, shown: ShownSlice, everywhere: bool) -> list[Part]:
        thick, distance, _ = thick_axis(image)
        target = float(self.target.value)
        finer = distance / target
        if not 1 < finer <= _LARGEST:
            raise InputError(f"the slices are {distance:.3g} mm apart; choose a distance below that to refine to")
        entry = self._entries.get(self.chosen_prior())
        planes = reformatted_planes(image, thick, entry.plane if entry else "", shown.index, everywhere=everywhere)
        width = float(self.thickness.value) / distance if self.thickness.value else 1.0
        factor = (finer, 1.0) if planes[0].rows == thick else (1.0, finer)
        return _refined(planes, factor, width)

    def _on_way(self, way: str) -> None:
        show_row(self.factor, way == "factor")
        show_row(self.target, way != "factor")
        show_row(self.thickness, way == "through")
        self.match_prior()


def _refined(planes: list[ShownSlice], factor: tuple[float, float], width: float | None = None) -> list[Part]:
    """Parts that become finer; ``width`` is the slices' thickness / their distance, None: coarse pixels are means."""
    corruption = partial(_coarse, factor, width)
    return [Part(p, ObservedSlice(p.image, corruption, p.spacing), factor=factor) for p in planes]


def _coarse(factor: tuple[float, float], width: float | None) -> Corruption:
    from napari_brgm.corruptions import Downsample

    return Downsample(factor) if width is None else Downsample(factor, "slice_profile", width=width)
