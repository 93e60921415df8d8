"""Super-resolve widget: finer pixels in the plane, thinner slices of a stack, or thinner ones by planes across them."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, ClassVar

from magicgui.widgets import ComboBox, FloatSpinBox, SpinBox

from napari_brgm.engine.advice import same_plane
from napari_brgm.engine.job import ObservedSlice
from napari_brgm.errors import BrgmError, InputError
from napari_brgm.plugin.forms import show_row
from napari_brgm.plugin.layers.anatomy import plane_of
from napari_brgm.plugin.layers.planes import all_planes, parallel_planes, reformatted_planes, thick_axis
from napari_brgm.plugin.layers.shown import shown_axes, stored
from napari_brgm.plugin.layers.thick_stack import thick_stack
from napari_brgm.plugin.prior_panel import knows_stacks
from napari_brgm.plugin.restore.panel import RestorationPanel
from napari_brgm.plugin.restore.preview import Part

if TYPE_CHECKING:
    from collections.abc import Sequence

    import napari.viewer
    from magicgui.widgets.bases import Widget
    from napari.layers import Image
    from qtpy.QtWidgets import QWidget

    from napari_brgm.corruptions import Corruption
    from napari_brgm.engine.job import Stack
    from napari_brgm.engine.thin_slices import ThinSlices
    from napari_brgm.plugin.layers.shown import ShownSlice
    from napari_brgm.plugin.layers.thick_stack import ThickStack

__all__ = ["SuperResolveWidget"]

_WAYS = [
    ("finer pixels, by a factor", "factor"),
    ("finer pixels, to a size", "size"),
    ("thinner slices, in planes across them", "through"),
]
_LARGEST = 64  # times finer
_NEAR_MM = 6.0  # thick slices so far from the one on show are restored with it, and the next ones in any case
_THIN_TOOLTIP = "Thin slices made of each, with what its neighbours measured; 1: slices stay as they are"


class SuperResolveWidget(RestorationPanel):
    """Restores slices on a finer grid; averaged back, they agree with what was measured.

    Attributes
    ----------
    way : ComboBox
        'factor', 'size' or 'through'.
    factor : SpinBox
        Result pixels per pixel, along rows and columns.
    slices : SpinBox
        Through the plane: thin slices to make of each; 1 where that cannot be, and then the tooltip says why.
    target : FloatSpinBox
        Pixel size, or through the plane the distance of the slices, to reach, in mm.
    thickness : FloatSpinBox
        Through the plane: thickness of the slices in mm; 0: as the file says, else as far as they are apart.
    """

    restores: ClassVar[str] = "super-resolve"
    help: ClassVar[str] = "Choose what is to become finer, then press Run."

    def __init__(self, napari_viewer: napari.viewer.Viewer) -> None:
        super().__init__(napari_viewer)
        self.strip.changed.connect(self._follow_stack)
        self.slices.changed.connect(self._show_rows)
        self._on_way(self.way.value)

    def inputs(self) -> Sequence[Widget | QWidget]:
        self.way = ComboBox(label="Refine", choices=_WAYS, tooltip="What is too coarse")
        self.factor = SpinBox(
            label="Factor", value=4, min=1, max=16, tooltip="Result pixels per pixel, along each axis of the plane"
        )
        self.slices = SpinBox(label="Slices of each", value=1, min=1, max=16, tooltip=_THIN_TOOLTIP)
        self.target = FloatSpinBox(
            label="To (mm)", value=1.0, min=0.05, max=50, step=0.1, tooltip="Pixel size, or distance of the slices"
        )
        self.thickness = FloatSpinBox(
            label="Thickness (mm)", value=0.0, min=0.0, max=50, step=0.1,
            tooltip="Thickness of the slices; 0: as a DICOM file says, else as thick as they are apart",
        )  # fmt: skip
        self.thickness.native.setSpecialValueText("as in the scan")
        self.way.changed.connect(self._on_way)
        return [self.way, self.factor, self.target, self.slices, self.thickness]

    def parts(self, image: Image, shown: ShownSlice, everywhere: bool) -> list[Part]:
        if self.way.value == "through":
            return self._through(image, shown, everywhere)
        factor = self._factors(image, shown)
        self._follow_stack()
        if self.slices.value > 1:
            return self._thin(image, shown, factor, everywhere)
        if max(factor) <= 1:
            raise InputError("nothing becomes finer; choose a factor or a number of slices above 1")
        return _refined(all_planes(image, shown) if everywhere else [shown], factor)

    def stack(self, image: Image, parts: Sequence[Part], shown: ShownSlice) -> Stack | None:
        if self.slices.value == 1 or self.way.value == "through":
            return None
        return self._thin_slices(image, shown, len({id(part.observed) for part in parts})).stack()

    def match_prior(self, event: object = None) -> None:
        super().match_prior(event)
        self._follow_stack()

    def plane(self) -> tuple[str, tuple[float, float] | None, int]:
        """Of the reformatted planes, where slices are to become thinner; else of the slice on show."""
        shown, spacing, pixels = super().plane()
        if self.way.value != "through":
            return shown, spacing, pixels
        try:
            image = self.chosen_image()
            thick, _, finest = thick_axis(image)
        except BrgmError:
            return shown, spacing, pixels
        known = {entry.plane for entry in self._entries.values() if entry.plane}
        planes = [p for axis in range(image.ndim) if axis != thick and (p := plane_of(image, thick, axis))]
        liked = (p for p in planes if any(same_plane(p, other) for other in known))
        return next(liked, planes[0] if planes else ""), (finest, finest), pixels

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

    def _thin(self, image: Image, shown: ShownSlice, factor: tuple[float, float], everywhere: bool) -> list[Part]:
        """Thin slices of all thick ones; or of the one on show, beside which its neighbours are restored."""
        found, finer = self._thick_stack(image, shown), int(self.slices.value)
        own, count, near = shown.index[found.axis], stored(image).shape[found.axis], int(_NEAR_MM / found.distance)
        assert isinstance(own, int)
        numbers = range(count) if everywhere else range(max(own - max(near, 1), 0), min(own + max(near, 1) + 1, count))
        fixed = {axis: place for axis, place in enumerate(shown.index) if not isinstance(place, slice)}
        thick = parallel_planes(image, shown, [list((fixed | {found.axis: number}).values()) for number in numbers])
        parts = []
        for number, plane in zip(numbers, thick, strict=True):
            observed = ObservedSlice(plane.image, partial(_coarse, factor, None), plane.spacing)
            for i in range(finer * number, finer * (number + 1)):
                index = tuple(i if axis == found.axis else place for axis, place in enumerate(plane.index))
                thin = replace(plane, index=index, thinner=(found.axis, float(finer)))
                parts.append(Part(thin, observed, factor=factor, wanted=everywhere or number == own))
        return parts

    def _thin_slices(self, image: Image, shown: ShownSlice, thick: int) -> ThinSlices:
        from napari_brgm.engine.thin_slices import ThinSlices

        found = self._thick_stack(image, shown)
        return ThinSlices.of(thick, found.distance, self.slices.value, self.thickness.value or found.thickness)

    def _thick_stack(self, image: Image, shown: ShownSlice) -> ThickStack:
        entry = self.chosen_entry()
        return thick_stack(image, shown.rows, shown.columns, entry.plane if entry else "")

    def _why_not_thin(self) -> str:
        """Why no thin slices can be made of those on show; '' where they can."""
        entry = self.chosen_entry()
        try:
            image = self.chosen_image()
            rows, columns, _ = shown_axes(image, self.viewer.dims)
            if entry is None or not knows_stacks(entry):
                known = " or ".join(name for name, other in self._entries.items() if knows_stacks(other))
                return f"this prior takes one slice at a time; choose {known or 'one that knows neighbouring slices'}"
            if self.method.value != "map":
                return "this method takes one slice at a time; choose MAP"
            if self.strip.wanted:
                return "the skull is stripped slice by slice; strip the scan first, and switch 'Strip skull' off"
            thick_stack(image, rows, columns, entry.plane)
        except BrgmError as error:
            return str(error)
        return ""

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
        self._show_rows()
        self.match_prior()

    def _on_cost(self, event: object = None) -> None:
        super()._on_cost(event)
        self._follow_stack()

    def _show_rows(self, event: object = None) -> None:
        way = self.way.value
        show_row(self.factor, way == "factor")
        show_row(self.target, way != "factor")
        show_row(self.slices, way != "through")
        show_row(self.thickness, way == "through" or self.slices.value > 1)

    def _follow_stack(self, event: object = None) -> None:
        """Offer thin slices where they can be made, and say why not elsewhere."""
        reason = self._why_not_thin()
        if reason:
            self.slices.value = 1
        self.slices.enabled = not reason
        self.slices.tooltip = f"{reason[:1].upper()}{reason[1:]}." if reason else _THIN_TOOLTIP


def _refined(planes: list[ShownSlice], factor: tuple[float, float], width: float | None = None) -> list[Part]:
    """Parts that become finer; ``width`` is the slices' thickness / their distance, None: coarse pixels are means."""
    corruption = partial(_coarse, factor, width)
    return [Part(p, ObservedSlice(p.image, corruption, p.spacing), factor=factor) for p in planes]


def _coarse(factor: tuple[float, float], width: float | None) -> Corruption:
    from napari_brgm.corruptions import Downsample, Identity

    if max(factor) == 1:
        return Identity()
    return Downsample(factor) if width is None else Downsample(factor, "slice_profile", width=width)
