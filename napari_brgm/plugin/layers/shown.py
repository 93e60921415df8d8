"""What an image layer shows: the slice on the screen, its pixel size, and the mask painted over it.

    world = affine o (translate, rotate, shear, scale) (data index)        (napari)

The slice is handed on as it stands on the screen: rows downwards, columns to the right, whatever the order and the
direction of the stored axes, as a prior knows anatomy in one pose only. Of a lazy layer only that slice is computed.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
from napari.utils.notifications import show_info

from napari_brgm.errors import InputError
from napari_brgm.plugin.layers.two_places import at_other_place

if TYPE_CHECKING:
    from collections.abc import Sequence

    from napari.components import Dims
    from napari.layers import Image, Labels, Layer

__all__ = [
    "ShownSlice",
    "check_mask",
    "check_restorable",
    "check_unmasked",
    "conversion",
    "linear",
    "mask_on",
    "pixel_size",
    "same_place",
    "shown_axes",
    "shown_place",
    "shown_slice",
    "stored",
]

_TIME_LABELS = frozenset({"t", "time", "volume"})


@dataclass(frozen=True, slots=True, eq=False)
class ShownSlice:
    """The plane of a layer that is on the screen.

    Attributes
    ----------
    image : (H, W) float32 ndarray
        As shown, in the layer's own units.
    spacing : (float, float) or None
        Pixel size (row, column) in mm; None for a layer in pixels, whose size is not known.
    index : tuple of int or slice
        Where the plane lies in the layer's data, one entry an axis.
    rows, columns : int
        Data axes that run along the rows' and the columns' numbering.
    flips : (bool, bool)
        Whether the stored rows, columns run against the shown ones.
    thinner : (int, float)
        Of a thin slice of a result: data axis across it, and how many lie in each slice of the layer; the index along
        that axis is the result's.
    """

    image: npt.NDArray[np.float32]
    spacing: tuple[float, float] | None
    index: tuple[int | slice, ...]
    rows: int
    columns: int
    flips: tuple[bool, bool]
    thinner: tuple[int, float] = (0, 1.0)

    def as_shown(self, plane: npt.NDArray[Any]) -> npt.NDArray[Any]:
        """Turn a stored plane, its axes in the order of the data, into (H, W) as shown."""
        plane = plane.T if self.rows > self.columns else plane
        return np.flip(plane, self._flipped())

    def as_stored(self, image: npt.NDArray[Any]) -> npt.NDArray[Any]:
        """Inverse of ``as_shown`` for an image of any size; leading axes, as of samples, are kept."""
        image = np.flip(image, tuple(axis - 2 for axis in self._flipped()))
        return np.swapaxes(image, -1, -2) if self.rows > self.columns else image

    def _flipped(self) -> tuple[int, ...]:
        return tuple(axis for axis, flip in enumerate(self.flips) if flip)


def shown_axes(layer: Image, dims: Dims) -> tuple[int, int, tuple[float, float] | None]:
    """Data axes along the screen's rows and columns, and the pixel size (row, column) in mm; computes no pixel.

    Raises
    ------
    InputError
        As ``shown_slice``.
    """
    rows, columns, _ = _plane(layer, dims)
    return rows, columns, pixel_size(layer, rows, columns)


def shown_place(layer: Image, dims: Dims) -> npt.NDArray[np.float64]:
    """Data coordinates of the sliders' position; those along the axes on the screen mean nothing.

    Raises
    ------
    InputError
        The layer has more axes than the viewer.
    """
    first = dims.ndim - layer.ndim
    if first < 0:
        raise InputError(f"no slice of '{layer.name}' is on the screen; open it first")
    point = np.array(dims.point[first:], dtype=float)
    units = getattr(dims, "units", None)
    if units is not None:
        pairs = zip(units[first:], layer.units, strict=True)
        point *= [conversion(viewer, own) or 1.0 for viewer, own in pairs]
    return np.asarray(layer.world_to_data(point), dtype=float)


def shown_slice(layer: Image, dims: Dims) -> ShownSlice:
    """Take the slice of ``layer`` that a viewer with these ``dims`` shows.

    Raises
    ------
    InputError
        The layer is in colour or complex or has masked pixels, or no single plane of it with two axes of length is on
        the screen.
    """
    rows, columns, flips = _plane(layer, dims)
    data = stored(layer)
    index = _position(layer, dims, data.shape, {rows, columns})
    plane = np.asarray(data[index], dtype=np.float32)  # computes this slice only
    shown = ShownSlice(plane, pixel_size(layer, rows, columns), index, rows, columns, flips)
    image = np.array(shown.as_shown(plane), order="C")  # a copy: the layer may be edited during the run
    return ShownSlice(image, shown.spacing, index, rows, columns, flips)


def _plane(layer: Image, dims: Dims) -> tuple[int, int, tuple[bool, bool]]:
    """Data axes of rows and columns on the screen, and which run backwards there."""
    check_restorable(layer)
    if dims.ndisplay != 2:
        raise InputError("the viewer shows three dimensions; switch to the two-dimensional view to choose the slice")
    axes = [axis - (dims.ndim - layer.ndim) for axis in dims.displayed]
    if min(axes) < 0:
        raise InputError(f"the plane on the screen is not one of '{layer.name}'; change the order of the axes")
    return _orientation(layer, axes[0], axes[1])


def check_restorable(layer: Image) -> None:
    """Look at what a layer holds, without its pixels.

    Raises
    ------
    InputError
        It is in colour or complex, or has masked pixels.
    """
    if layer.rgb:
        raise InputError(f"'{layer.name}' is a colour image; choose a layer of one channel")
    check_unmasked(layer)
    kind = np.dtype(stored(layer).dtype)
    if kind.kind not in "fiub":
        raise InputError(f"'{layer.name}' holds {kind} values; choose a layer of real numbers")


def mask_on(shown: ShownSlice, image: Image, labels: Labels, label: int | None = None) -> npt.NDArray[np.bool_]:
    """Take the mask of a shown slice: (H, W) bool, true (missing) where ``label`` is painted, or any label for None.

    Raises
    ------
    InputError
        The labels are not on the image's grid, or nothing is painted on this slice.
    """
    check_mask(image, labels)
    painted = np.asarray(shown.as_shown(np.asarray(stored(labels)[shown.index])))
    mask = np.array(painted > 0 if label is None else painted == label, order="C")
    if not mask.any():
        what = "nothing is painted" if label is None else f"the label {label} is not painted"
        raise InputError(f"{what} in '{labels.name}' on this slice; paint over what is to be restored")
    return mask


def check_mask(image: Image, labels: Labels) -> None:
    """Make sure that labels can be a mask of an image.

    Raises
    ------
    InputError
        They are not on the image's grid, or have masked pixels.
    """
    check_unmasked(labels)
    data, wanted = stored(labels), stored(image).shape
    if tuple(data.shape) != tuple(wanted):
        raise InputError(
            f"the mask '{labels.name}' has the shape {tuple(data.shape)} and '{image.name}' {tuple(wanted)}; "
            "press 'Paint artefact mask' for a mask that fits"
        )
    if not (same_place(labels, image) or _is_plain(labels)):
        if at_other_place(labels, image):
            show_info(
                f"The mask '{labels.name}' lies where the qform has it, not where the sform does: it is taken as "
                f"painted on the voxels of '{image.name}'."
            )
            return
        raise InputError(
            f"the mask '{labels.name}' lies elsewhere than '{image.name}'; "
            "press 'Paint artefact mask' for a mask that fits"
        )


def check_unmasked(layer: Layer) -> None:
    """Make sure that a layer's data say all: no masked pixels of numpy.ma, in lazy data none that might be.

    Raises
    ------
    InputError
        Some are masked: napari shows what lies under a mask, and arithmetic here would take it for measured.
    """
    data = stored(layer)
    if np.ma.is_masked(data) or isinstance(getattr(data, "_meta", None), np.ma.MaskedArray):
        raise InputError(
            f"'{layer.name}' has masked pixels (numpy.ma), which napari shows like others; "
            "give them values with numpy.ma.filled, and paint over those that are missing"
        )


def stored(layer: Layer) -> Any:
    """Give the data of a layer in full resolution, not computed."""
    return layer.data[0] if getattr(layer, "multiscale", False) else layer.data


def linear(layer: Layer) -> npt.NDArray[np.float64]:
    """(n, n) matrix: step in the world for a step of one data index, in the layer's units."""
    origin = np.asarray(layer.data_to_world(np.zeros(layer.ndim)), dtype=float)
    steps = [np.asarray(layer.data_to_world(unit), dtype=float) - origin for unit in np.eye(layer.ndim)]
    return np.stack(steps, axis=1)


def same_place(one: Layer, other: Layer) -> bool:
    """Whether the same data index lies at the same place in the world in both layers."""
    corners = np.stack([np.zeros(one.ndim), *np.eye(one.ndim)])
    factors = [conversion(a, b) for a, b in zip(one.units, other.units, strict=True)]
    if None in factors:
        return False
    ours = np.array([one.data_to_world(c) for c in corners]) * np.array(factors, dtype=float)
    theirs = np.array([other.data_to_world(c) for c in corners])
    return bool(np.allclose(ours, theirs, atol=1e-3 * np.abs(np.diag(linear(other))).min() + 1e-9))


def conversion(unit: Any, target: Any) -> float | None:
    """How many ``target`` units one ``unit`` (both pint units) is; None where they measure different things."""
    if unit == target:
        return 1.0
    if unit.dimensionality != target.dimensionality:
        return None
    return float((1 * unit).to(target).magnitude)


def _is_plain(layer: Layer) -> bool:
    """Whether a layer was never given a place: its mask is then taken voxel for voxel."""
    at_origin = np.allclose(layer.data_to_world(np.zeros(layer.ndim)), 0)
    return at_origin and np.allclose(linear(layer), np.eye(layer.ndim))


def _orientation(layer: Layer, down: int, right: int) -> tuple[int, int, tuple[bool, bool]]:
    """Find the data axes nearest to the screen's rows and columns, and which of them are shown flipped."""
    step = linear(layer)
    others = [axis for axis in range(layer.ndim) if axis not in (down, right)]
    size = np.abs(step).max()
    if np.abs(step[np.ix_((down, right), others)]).max(initial=0) > 1e-6 * size:
        raise InputError(f"'{layer.name}' is oblique to the screen; show it along its own axes")
    if np.abs(step[np.ix_(others, (down, right))]).max(initial=0) > 1e-6 * size:
        raise InputError(f"'{layer.name}' is oblique to the screen; show it along its own axes")
    units = layer.units
    labels = {str(layer.axis_labels[axis]).lower() for axis in (down, right)}
    if units[down].dimensionality != units[right].dimensionality or labels & _TIME_LABELS:
        raise InputError(
            f"'{layer.name}' is a {layer.ndim}-D layer and one of the two axes on the screen is not one of space; "
            "change the order of the axes to show a slice"
        )
    plane = np.abs(step[np.ix_((down, right), (down, right))])
    turned = plane[0, 1] * plane[1, 0] > plane[0, 0] * plane[1, 1]
    rows, columns = (right, down) if turned else (down, right)
    return rows, columns, (bool(step[down, rows] < 0), bool(step[right, columns] < 0))


def _position(layer: Layer, dims: Dims, shape: Sequence[int], plane: set[int]) -> tuple[int | slice, ...]:
    """Index of the shown plane: the sliders' world position to the nearest data index."""
    nearest = np.round(shown_place(layer, dims))
    index: list[int | slice] = []
    for axis, length in enumerate(shape):
        if axis in plane:
            index.append(slice(None))
        elif not 0 <= nearest[axis] < length:
            raise InputError(f"no slice of '{layer.name}' is on the screen; move the slider to one")
        else:
            index.append(int(nearest[axis]))
    return tuple(index)


def pixel_size(layer: Layer, rows: int, columns: int) -> tuple[float, float] | None:
    """Pixel size in mm. A layer in pixels with a scale is taken to be in mm, as most readers leave the units out."""
    import pint

    millimetre = pint.get_application_registry().Unit("mm")
    step = linear(layer)
    factors = [conversion(unit, millimetre) for unit in layer.units]
    if factors[rows] is None:
        if np.allclose(layer.scale, 1) and np.allclose(np.abs(step), np.abs(np.round(step))):
            return None
        factors = [1.0] * layer.ndim
    step = step * np.array([factor or 0.0 for factor in factors])[:, None]
    row, column = np.linalg.norm(step[:, [rows, columns]], axis=0)
    return float(row), float(column)
