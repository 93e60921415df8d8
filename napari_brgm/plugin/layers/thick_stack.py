"""ThickStack: the slices of a layer as thin ones can be made of them, or why they cannot; no pixel is read."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from napari_brgm.engine.advice import same_plane
from napari_brgm.errors import InputError
from napari_brgm.plugin.layers.anatomy import plane_of, spatial_axes
from napari_brgm.plugin.layers.scans import scan_record, shown_affine
from napari_brgm.plugin.layers.shown import pixel_size, stored
from napari_brgm.scan import LEANING, distance_of, lean_of

if TYPE_CHECKING:
    import numpy.typing as npt
    from napari.layers import Image

__all__ = ["ThickStack", "thick_stack"]

_THICKER = 1.2  # times the distance of the slices: what counts as thicker
_SAME = 1e-3  # of the distance, between steps that are one


class ThickStack(NamedTuple):
    """Slices of a layer, one above the other.

    Attributes
    ----------
    axis : int
        Data axis across them.
    distance : float
        mm, along their normal.
    thickness : float or None
        mm, as a DICOM file says it.
    """

    axis: int
    distance: float
    thickness: float | None


def thick_stack(image: Image, rows: int, columns: int, plane: str) -> ThickStack:
    """The slices that span two data axes of a layer.

    Parameters
    ----------
    plane : str
        That of the prior; '' where it has none.

    Raises
    ------
    InputError
        They are a single one, in another plane, not upright, or it is not known how far apart they lie.
    """
    space = spatial_axes(image)
    across = [axis for axis in space if axis not in (rows, columns)]
    if len(space) < 3 or len(across) != 1 or stored(image).shape[across[0]] < 2:
        raise InputError(f"'{image.name}' is a single slice; choose a volume to make its slices thinner")
    (axis,) = across
    own = plane_of(image, rows, columns)
    if plane and own and not same_plane(own, plane):
        raise InputError(f"the slices on show are {own} and the prior knows {plane} ones; show {plane} slices")
    sides = {one: pixel_size(image, one, one) for one in space}
    known = {one: size[0] for one, size in sides.items() if size is not None}
    if len(known) < 3:
        raise InputError(f"how far apart the slices of '{image.name}' are is not known; give the layer a scale in mm")
    if max(known.values()) > _THICKER * known[axis]:
        raise InputError(
            f"the thick slices of '{image.name}' are not those on show; choose 'thinner slices, in planes across them'"
        )
    affine = shown_affine(image)[:, [*(one - image.ndim + 3 for one in (rows, columns, axis)), 3]]
    distance = distance_of(affine)
    if distance is None:
        raise InputError(
            f"the slices of '{image.name}' are shifted against each other; resample it to an upright stack"
        )
    if scan_record(image) and (degrees := lean_of(affine)) > LEANING:
        raise InputError(f"the slices of '{image.name}' lean by {degrees:.0f} degrees; reformat it to straight ones")
    return ThickStack(axis, distance, _thickness(image, affine))


def _thickness(image: Image, affine: npt.NDArray[np.float64]) -> float | None:
    """That of the file, where its slices are those of the affine."""
    from napari_brgm.scans.slice_thickness import slice_thickness

    record = scan_record(image)
    if not record:
        return None
    told, shown = np.asarray(record["file_affine"], float)[:3, 2], affine[:3, 2]
    far = min(np.linalg.norm(told - shown), np.linalg.norm(told + shown))  # of a result: its steps are others
    return slice_thickness(record.get("header")) if far <= _SAME * np.linalg.norm(shown) else None
