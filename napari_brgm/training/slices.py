"""Training slices: a zip of registered slices -> grey levels in the generator frame, with their subjects."""

from __future__ import annotations

import io
import zipfile
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor

from napari_brgm.errors import InputError

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["SliceSet", "read_slices"]


@dataclass(frozen=True, slots=True)
class SliceSet:
    """Slices in the 128 frame.

    Attributes
    ----------
    images : (N, 1, 128, 128) uint8 Tensor
        Grey levels.
    subjects : (N,) int64 Tensor
        Number of the subject of each slice, counted from 0.
    """

    images: Tensor
    subjects: Tensor


def read_slices(archive: Path) -> SliceSet:
    """Read ``subject-NNN/slice-ZZ.jpg`` (208 x 176, 1 mm) into the 128 frame (1.5 mm).

    The frame: 8 zero columns each side, rows 8..199, bilinear with antialiasing to 128 x 128.

    Raises
    ------
    InputError
        The archive is missing or holds no such slices.
    """
    if not archive.is_file():
        raise InputError(f"no training archive at {archive}; give the zip of slices with --data")
    images, names = [], []
    with zipfile.ZipFile(archive) as handle:
        for name in sorted(n for n in handle.namelist() if n.endswith(".jpg")):
            grey = np.asarray(Image.open(io.BytesIO(handle.read(name))).convert("L"), np.float32)
            if grey.shape != (208, 176):
                raise InputError(
                    f"{name} is {grey.shape[0]} x {grey.shape[1]}; slices of 208 x 176 pixels are expected"
                )
            frame = torch.from_numpy(np.pad(grey, ((0, 0), (8, 8)))[8:200])[None, None]
            small = F.interpolate(frame, size=(128, 128), mode="bilinear", antialias=True, align_corners=False)
            images.append(small[0].round().clamp(0, 255).to(torch.uint8))
            names.append(name.split("/")[0])
    if not images:
        raise InputError(f"{archive.name} holds no subject-NNN/slice-ZZ.jpg")
    order = {name: i for i, name in enumerate(sorted(set(names)))}
    return SliceSet(torch.stack(images), torch.tensor([order[n] for n in names]))
