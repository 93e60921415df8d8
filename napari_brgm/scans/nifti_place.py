"""Where a NIfTI file lies: its sform, else its qform, else nothing but pixel sizes; and whether the two forms agree.

    sform    x = srow_x . (i, j, k, 1), y and z likewise
    qform    x = R(quatern_b, _c, _d) diag(pixdim[1], pixdim[2], qfac pixdim[3]) (i, j, k) + qoffset

A file may have both, and programs differ in which they take: nibabel and FSL the sform, ITK (Slicer, ITK-SNAP) often
the qform. Where they lie apart, a mask painted in one program looks misplaced in another.

Source: the NIfTI-1.1 header, "3D image (volume) orientation and location in space".
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

import nibabel as nib
import numpy as np
import numpy.typing as npt

from napari_brgm.errors import ScanError

if TYPE_CHECKING:
    from napari_brgm.scans.nifti_header import Header

__all__ = ["apart", "other_place", "place_of", "same_place"]

Affine = npt.NDArray[np.float64]
_SAME_PLACE = 0.05  # voxels between the corners of two grids that count as one
_LEAST_VOLUME = 1e-12  # of a voxel, against that of a cube with its longest side
_ROWS = "srow_x, srow_y, srow_z"
_TURN = "quatern_b, quatern_c, quatern_d, qoffset"
_SIDES = ({"L", "R"}, {"P", "A"}, {"I", "S"})
_WORDS = ("left and right", "front and back", "top and bottom")


def place_of(header: Header, name: str) -> tuple[Affine, tuple[str, ...]]:
    """Affine (4, 4) to RAS+ mm, and notes about it.

    A form that cannot be used is taken out of the header, so that it cannot be asked for it later.

    Raises
    ------
    ScanError
        The header has a form, and none that can be used.
    """
    fields, notes = header.fields, []
    usable, spoilt = {}, []
    for form, what in (("sform", _ROWS), ("qform", _TURN)):
        if int(fields[f"{form}_code"]) <= 0:
            fields[f"{form}_code"] = 0
            continue
        affine = _form(fields, form)
        if affine is None:
            spoilt.append(f"its {form} ({what}) is no grid in space")
            fields[f"{form}_code"] = 0
        else:
            usable[form] = affine
    if spoilt and not usable:
        raise ScanError(
            f"{name} cannot be placed in space: {' and '.join(spoilt)}; give it an affine, or convert it again"
        )
    notes += [f"{sentence}: the {next(iter(usable))} is taken" for sentence in spoilt]
    if "sform" not in usable:
        notes += header.sizes_mended
    if not usable:
        notes.append("the file does not say how the patient lies: radiological axes are assumed")
    scale = np.diag([header.to_mm] * 3 + [1.0])
    chosen = usable["sform"] if "sform" in usable else usable.get("qform", _plain(fields))
    if len(usable) == 2:
        notes += _disagreement(scale @ usable["sform"], scale @ usable["qform"], header.shape)
    return scale @ chosen, tuple(notes)


def other_place(header: object) -> Affine | None:
    """Affine to mm of the form that was not taken, by the header of a scan; None where there is none."""
    fields: Any = header
    if not isinstance(header, nib.Nifti1Header) or not all(
        int(fields[f"{form}_code"]) > 0 for form in ("sform", "qform")
    ):
        return None
    affine = _form(fields, "qform")
    unit = {"meter": 1000.0, "micron": 0.001}.get(str(fields.get_xyzt_units()[0]), 1.0)
    return None if affine is None else np.diag([unit] * 3 + [1.0]) @ affine


def apart(one: Affine, other: Affine, shape: tuple[int, ...]) -> float:
    """Greatest distance in mm between the corners of a grid of this shape, placed in two ways."""
    sides = (*shape, 1, 1, 1)[:3]
    corners = np.array(np.meshgrid(*((0, side - 1) for side in sides))).reshape(3, -1)
    moved = (one - other) @ np.vstack([corners, np.ones(corners.shape[1])])
    return float(np.linalg.norm(moved[:3], axis=0).max())


def same_place(one: Affine, other: Affine, shape: tuple[int, ...]) -> bool:
    """Whether two affines place a grid at one place, to a twentieth of a voxel of the first."""
    spacing = np.linalg.norm(one[:3, :3], axis=0)
    return apart(one, other, shape) <= _SAME_PLACE * float(spacing.min())


def _form(fields: Any, form: str) -> Affine | None:
    """A form of the header, in its own unit; None where it is no grid."""
    try:
        affine = np.asarray(fields.get_sform() if form == "sform" else fields.get_qform(), np.float64)
    except Exception:  # nibabel's own checks, of a quaternion that is no number
        return None
    if not np.isfinite(affine).all():
        return None
    sides = np.linalg.norm(affine[:3, :3], axis=0)
    if not sides.all() or abs(np.linalg.det(affine[:3, :3] / sides)) < _LEAST_VOLUME:
        return None
    return affine


def _codes(affine: Affine) -> tuple[str | None, ...]:
    return cast("Any", nib.aff2axcodes)(affine)  # type: ignore[no-any-return]


def _plain(fields: Any) -> Affine:
    return np.asarray(fields.get_base_affine(), np.float64)


def _disagreement(sform: Affine, qform: Affine, shape: tuple[int, ...]) -> list[str]:
    if same_place(sform, qform, shape):
        return []
    swapped = [
        words
        for words, sides in zip(_WORDS, _SIDES, strict=True)
        if any(one != other and {one, other} == sides for one, other in zip(_codes(sform), _codes(qform), strict=True))
    ]
    sides = f", with {' and '.join(swapped)} swapped" if swapped else ""
    return [
        f"the file places the image in two ways, sform and qform, {apart(sform, qform, shape):.3g} mm apart{sides}: "
        "the sform is taken, as by nibabel and FSL; ITK programs such as Slicer may take the qform"
    ]
