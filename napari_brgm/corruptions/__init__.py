"""Corruptions: the known way f in which a clean image became the observed one, I = f(x) + noise (BRGM Eq. 2).

All work on (B, C, H, W) float tensors, keep the gradient and follow the input's device and dtype.
"""

from __future__ import annotations

from napari_brgm.corruptions.blur import Blur
from napari_brgm.corruptions.compose import Compose, Identity
from napari_brgm.corruptions.corruption import Corruption, LinearCorruption, LinearOperator
from napari_brgm.corruptions.downsample import Downsample, Kernel
from napari_brgm.corruptions.foreign import as_corruption
from napari_brgm.corruptions.frame import Frame
from napari_brgm.corruptions.jpeg import Jpeg
from napari_brgm.corruptions.mask import Mask
from napari_brgm.corruptions.mixture import Grayscale, Mixture
from napari_brgm.corruptions.motion import Motion

__all__ = [
    "Blur",
    "Compose",
    "Corruption",
    "Downsample",
    "Frame",
    "Grayscale",
    "Identity",
    "Jpeg",
    "Kernel",
    "LinearCorruption",
    "LinearOperator",
    "Mask",
    "Mixture",
    "Motion",
    "as_corruption",
]
