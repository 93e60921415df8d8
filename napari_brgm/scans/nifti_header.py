"""The header of a NIfTI file: what other readers read is read, with a note; what cannot be is refused, by its field.

    b^2 + c^2 + d^2 > 1 (quatern_b, _c, _d)    a rotation by 180 degrees about (b, c, d) normalised
    xyzt_units of no known unit                mm
    pixdim of 0, below 0 or no number          1 mm, its absolute value, 1 mm
    dim of 0 or below, but for the first       1
    vox_offset inside the header               352

Source: the NIfTI-1.1 and NIfTI-2 headers (https://nifti.nimh.nih.gov), and what nifti_clib, with which FSL and ITK
read, makes of such fields.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Any, cast

import nibabel as nib
import numpy as np
from nibabel import casting

from napari_brgm.errors import ScanError

__all__ = ["SIZES", "Header", "header_of", "looks_like_nifti"]

SIZES = {1: 348, 2: 540}  # bytes of a header, by version
_MM = {1: 1000.0, 2: 1.0, 3: 0.001, 0: 1.0}  # by the unit's code: metre, millimetre, micrometre, not stated
_SPACE, _TIME = 0x07, 0x38  # bits of xyzt_units
_TIMES = (0, 8, 16, 24, 32, 40, 48)
_KINDS = {2: "u1", 4: "i2", 8: "i4", 16: "f4", 64: "f8", 256: "i1", 512: "u2", 768: "u4", 1024: "i8", 1280: "u8"}
_QUAD = 1536
_REFUSED = {
    1: "single bits", 32: "complex numbers", 128: "colours", 1792: "complex numbers", 2048: "complex numbers",
    2304: "colours", _QUAD: "128-bit floats",
}  # fmt: skip
_BEHIND = {1: 352, 2: 544}  # where the voxels of a single file begin at least
_FARTHEST = 1 << 28  # bytes of extensions before the voxels
_ROUNDING = 3 * float(np.finfo(np.float32).eps)  # what that of three numbers can add to a square of 1


@dataclass(slots=True)
class Header:
    """A header whose fields can be used, and what had to be taken for granted.

    Attributes
    ----------
    fields : nibabel.Nifti1Header or Nifti2Header
        Mended, so that whoever asks it later hears the same.
    single : bool
        Whether the voxels follow in the same file.
    shape : tuple of int
    kind : numpy.dtype
        Of the stored numbers.
    offset : int
        Bytes before the voxels.
    to_mm : float
        Length of the header's unit.
    notes : list of str
    sizes_mended : list of str
        Notes about pixel sizes, which count only where the affine is made of them.
    """

    fields: Any
    single: bool
    shape: tuple[int, ...]
    kind: np.dtype[Any]
    offset: int
    to_mm: float = 1.0
    notes: list[str] = field(default_factory=list)
    sizes_mended: list[str] = field(default_factory=list)


def looks_like_nifti(head: bytes) -> bool:
    """Tell whether these first bytes (348 or more) are a NIfTI-1 or -2 header, in one file or of a pair."""
    return head[344:348] in (b"n+1\0", b"ni1\0") or head[4:8] in (b"n+2\0", b"ni2\0")


def header_of(head: bytes, name: str) -> Header:
    """Read the header in these first bytes of a file.

    Parameters
    ----------
    head : bytes
        For which ``looks_like_nifti``; 540 of them where there are so many.
    name : str
        Of the file, for the sentences.

    Raises
    ------
    ScanError
        It cannot be used; the sentence names the field.
    """
    version = 1 if head[344:348] in (b"n+1\0", b"ni1\0") else 2
    size = SIZES[version]
    if len(head) < size:
        raise ScanError(f"{name} ends within its header, after {len(head)} of {size} bytes; copy it again")
    kind = cast("Any", nib.Nifti1Header if version == 1 else nib.Nifti2Header)
    fields = kind(head[:size], check=False)
    single = b"n+" in (head[344:346] if version == 1 else head[4:6])
    made = Header(fields, single, (), _stored(fields, name), 0)
    made.shape = _shape(made, name)
    made.offset = _offset(made, version, name)
    _mend_unit(made)
    _mend_sizes(made)
    _mend_quaternion(made)
    return made


def _stored(fields: Any, name: str) -> np.dtype[Any]:
    code = int(fields["datatype"])
    if code == _QUAD and cast("Any", casting).have_binary128():
        return np.dtype(np.longdouble).newbyteorder(fields.endianness)
    if code in _KINDS:
        return np.dtype(_KINDS[code]).newbyteorder(fields.endianness)
    if code == _QUAD:
        raise ScanError(f"{name} holds 128-bit floats (datatype {code}), which are not read; save it as float64")
    if code in _REFUSED:
        raise ScanError(f"{name} holds {_REFUSED[code]} (datatype {code}); only real grey-level images can be restored")
    raise ScanError(f"the header of {name} gives the datatype {code}, which NIfTI does not know; save it as float32")


def _shape(made: Header, name: str) -> tuple[int, ...]:
    dim = made.fields["dim"]
    axes = int(dim[0])
    if not 1 <= axes <= 7:
        raise ScanError(f"the header of {name} gives {axes} axes (dim[0]), which NIfTI does not know; copy it again")
    if int(dim[1]) == -1:  # FreeSurfer's way to store long vectors
        return tuple(int(side) for side in made.fields.get_data_shape())
    if int(dim[1]) < 1:
        raise ScanError(f"the header of {name} gives {int(dim[1])} voxels along its first axis (dim[1]); copy it again")
    for axis in range(2, axes + 1):
        if int(dim[axis]) < 1:
            made.notes.append(
                f"the header gives {int(dim[axis])} voxels along axis {axis} (dim[{axis}]): one is taken, as by FSL"
            )
            dim[axis] = 1
    return tuple(int(side) for side in made.fields.get_data_shape())


def _offset(made: Header, version: int, name: str) -> int:
    said = float(made.fields["vox_offset"])
    if not math.isfinite(said) or said < 0 or said > _FARTHEST:
        raise ScanError(f"the header of {name} lets its voxels begin at byte {said:g} (vox_offset); copy it again")
    least = _BEHIND[version]
    if made.single and said < least:
        made.notes.append(
            f"the header lets the voxels begin within itself (vox_offset {said:g}): byte {least} is taken"
        )
        made.fields["vox_offset"] = said = least
    return int(said)


def _mend_unit(made: Header) -> None:
    fields, code = made.fields, int(made.fields["xyzt_units"])
    unit, time = code & _SPACE, code & _TIME
    if unit not in _MM:
        made.notes.append(
            f"the header gives lengths in a unit that NIfTI does not know (xyzt_units {code}): mm is assumed"
        )
        unit = 2
    made.to_mm = _MM[unit]
    fields["xyzt_units"] = unit | (time if time in _TIMES else 0)


def _mend_sizes(made: Header) -> None:
    """Pixel sizes above 0, and a sign of the third axis that is 1 or -1."""
    pixdim = made.fields["pixdim"]
    for axis in (1, 2, 3):
        said = float(pixdim[axis])
        if math.isfinite(said) and said > 0:
            continue
        usable = math.isfinite(said) and said < 0
        pixdim[axis] = -said if usable else 1.0 / made.to_mm
        if axis <= max(int(made.fields["dim"][0]), 2):
            taken = f"{-said * made.to_mm:g} mm is taken" if usable else "1 mm is assumed"
            made.sizes_mended.append(f"the pixel size along axis {axis} is {said:g} in the header: {taken}")
    sign = float(pixdim[0])
    if sign not in (1, -1):
        pixdim[0] = -1.0 if sign < 0 else 1.0
        if sign != 0 and int(made.fields["qform_code"]) > 0:
            made.notes.append(
                f"the sign of the third axis is {sign:g} in the header (pixdim[0]): {float(pixdim[0]):g} is taken"
            )


def _mend_quaternion(made: Header) -> None:
    names = ("quatern_b", "quatern_c", "quatern_d")
    turn = np.array([float(made.fields[name]) for name in names])
    with np.errstate(over="ignore", invalid="ignore"):
        square = float(turn @ turn)
    if not math.isfinite(square) or square <= 1:
        return
    for name, value in zip(names, turn / math.sqrt(square), strict=True):
        made.fields[name] = value
    if square > 1 + _ROUNDING and int(made.fields["qform_code"]) > 0:
        made.notes.append(
            f"the rotation in the header is a quaternion longer than 1 (quatern_b, _c, _d: their squares add up to "
            f"{square:.8g}): it is shortened to 1, as by FSL and ITK"
        )
