"""Real brain scans that need no network, cut from the MNI152 average, and artefacts painted on them.

A slice:  the axial plane at z = +8 mm (thalamus and ventricles), pixels of 1 mm; fine, or 4 mm coarse
A slab:   the axial planes from z = -2 to 28 mm; fine, or as coronal slices of 4 mm

The atlas is about 6 % larger than the heads that the prior ``brain-axial-128`` was trained on (128 x 128 at 1.5 mm),
and lies the other way up than they do: a restoration has to turn it and to fit the scale.
"""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import numpy.typing as npt

from napari_brgm.scan import Scan
from napari_brgm.scans.mni152 import mni152_slab

__all__ = ["brain_slab", "brain_slice", "thick_brain_slab", "thick_brain_slice"]

_HEIGHT_MM = 8.0
_SLAB_MM = (-2.0, 28.0)
_FACTOR = 4  # coarse pixels and thick slices of 4 mm

# strokes of a brush: width in mm, points (x, y) in RAS mm; left insula, right frontal lobe, right ventricle
_STROKES: tuple[tuple[float, tuple[tuple[float, float], ...]], ...] = (
    (11.0, ((-52.0, 22.0), (-40.0, 10.0), (-34.0, -8.0), (-42.0, -26.0))),
    (8.0, ((14.0, 56.0), (24.0, 42.0), (20.0, 26.0))),
    (9.0, ((10.0, -30.0), (22.0, -44.0), (40.0, -56.0))),
)

# in the slab, RAS mm: an ellipsoid (centre, half axes, turn about y in degrees), as a metal implant spoils a region,
# and strokes of a brush on a few slices (width, points (x, y), lowest and highest z)
_METAL = ((-36.0, -14.0, 12.0), (15.0, 10.0, 1.8), 5.0)
_PAINTED = (9.0, ((18.0, 50.0), (26.0, 38.0), (28.0, 24.0)), (9.0, 12.0))


def brain_slice() -> tuple[Scan, npt.NDArray[np.bool_]]:
    """Take the slice, unharmed, and the mask of an artefact painted on it.

    Returns
    -------
    scan : Scan
        (197, 233, 1), values 0 .. 1.
    mask : (233, 197) bool ndarray
        On ``scan.slice("axial", 0)``, true where missing: three strokes of a brush.

    Examples
    --------
    >>> scan, mask = brain_slice()
    >>> scan.slice("axial", 0).image.shape == mask.shape
    True
    """
    scan = mni152_slab(_HEIGHT_MM, _HEIGHT_MM)
    piece = scan.slice("axial", 0)
    rows, columns = np.indices(piece.image.shape)
    position = np.stack([rows, columns], axis=-1) @ piece.affine[:2, :2].T + piece.affine[:2, 3]  # (H, W, 2) RAS mm
    mask = np.any([_strokes(position, width, points) for width, points in _STROKES], axis=0)
    return scan, mask


def thick_brain_slice() -> Scan:
    """Take the same slice as a coarse scan would show it: the mean of each 4 x 4 mm, (49, 58, 1), values 0 .. 1.

    Examples
    --------
    >>> thick_brain_slice().spacing[:2]
    array([4., 4.])
    """
    scan = mni152_slab(_HEIGHT_MM, _HEIGHT_MM)
    size = [n // _FACTOR for n in scan.shape[:2]]
    cut = scan.array[: size[0] * _FACTOR, : size[1] * _FACTOR, 0]
    coarse = cut.reshape(size[0], _FACTOR, size[1], _FACTOR).mean(axis=(1, 3))
    index = np.diag([_FACTOR, _FACTOR, 1.0, 1.0])
    index[:2, 3] = (_FACTOR - 1) / 2  # centre of a coarse pixel
    return Scan(coarse[:, :, None], scan.affine @ index, name="MNI152 T1, 4 mm", modality="MR")


def brain_slab() -> tuple[Scan, npt.NDArray[np.uint8]]:
    """Take 31 axial slices, unharmed, and the labels of two artefacts painted over some of them.

    Returns
    -------
    scan : Scan
        (197, 233, 31), values 0 .. 1.
    labels : (197, 233, 31) uint8 ndarray
        1: a tilted ellipsoid on five slices; 2: strokes of a brush on four; 0 elsewhere.
    """
    scan = mni152_slab(*_SLAB_MM)
    axes = (np.arange(n) * scan.affine[i, i] + scan.affine[i, 3] for i, n in enumerate(scan.shape))
    x, y, z = np.meshgrid(*axes, indexing="ij", sparse=True)  # RAS mm
    labels = np.zeros(scan.shape, dtype=np.uint8)
    width, points, (low, high) = _PAINTED
    stroke = _strokes(np.stack(np.broadcast_arrays(x[..., 0], y[..., 0]), axis=-1), width, points)
    labels[stroke[..., None] & (z >= low) & (z <= high)] = 2
    centre, half, degrees = _METAL
    x, y, z = x - centre[0], y - centre[1], z - centre[2]
    c, s = np.cos(np.deg2rad(degrees)), np.sin(np.deg2rad(degrees))
    ellipsoid = ((c * x - s * z) / half[0]) ** 2 + (y / half[1]) ** 2 + ((s * x + c * z) / half[2]) ** 2
    labels[ellipsoid <= 1] = 1
    return scan, labels


def thick_brain_slab() -> Scan:
    """Take the same slab as coronal slices of 4 mm show it: the mean of each four planes, (197, 58, 31).

    Examples
    --------
    >>> thick_brain_slab().spacing
    array([1., 4., 1.])
    """
    scan = mni152_slab(*_SLAB_MM)
    count = scan.shape[1] // _FACTOR
    planes = scan.array[:, : count * _FACTOR].reshape(scan.shape[0], count, _FACTOR, scan.shape[2])
    index = np.diag([1.0, _FACTOR, 1.0, 1.0])
    index[1, 3] = (_FACTOR - 1) / 2  # centre of a thick slice
    return Scan(planes.mean(axis=2), scan.affine @ index, name="MNI152 T1, 4 mm coronal", modality="MR")


def _strokes(
    position: npt.NDArray[np.float64], width: float, points: tuple[tuple[float, float], ...]
) -> npt.NDArray[np.bool_]:
    """Whether each position (H, W, 2) is under a brush of this width that goes from point to point."""
    under = np.zeros(position.shape[:-1], dtype=bool)
    for start, end in pairwise(np.array(points)):
        way = end - start
        along = np.clip((position - start) @ way / (way @ way), 0, 1)
        under |= np.linalg.norm(position - start - along[..., None] * way, axis=-1) <= width / 2
    return under
