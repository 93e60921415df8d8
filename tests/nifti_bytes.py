"""A small NIfTI file whose header is patched byte by byte, as no library would write it."""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING, Any

import nibabel as nib
import numpy as np

if TYPE_CHECKING:
    from pathlib import Path

ARRAY = np.arange(8 * 10 * 6, dtype=np.int16).reshape(8, 10, 6)
AFFINE = np.array([[-1.5, 0, 0, 10], [0, 2, 0, -20], [0, 0, 3, 5], [0, 0, 0, 1.0]])
_AT = {
    "dim": (40, "<8h"), "datatype": (70, "<h"), "pixdim": (76, "<8f"), "vox_offset": (108, "<f"),
    "scl_slope": (112, "<f"), "scl_inter": (116, "<f"),
    "xyzt_units": (123, "<B"), "qform_code": (252, "<h"), "sform_code": (254, "<h"),
    "quaternion": (256, "<3f"), "srow_x": (280, "<4f"),
}  # fmt: skip


def patched(path: Path, array: Any = ARRAY, **fields: Any) -> Path:
    """Write the file with these fields of its header."""
    image = nib.Nifti1Image(array, AFFINE, dtype=array.dtype)
    image.set_qform(AFFINE, 0)
    nib.save(image, path)
    content = bytearray(path.read_bytes())
    for name, value in fields.items():
        at, how = _AT[name]
        struct.pack_into(how, content, at, *(value if isinstance(value, list | tuple) else [value]))
    path.write_bytes(content)
    return path
