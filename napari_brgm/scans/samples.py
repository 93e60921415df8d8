"""One real brain slice that needs no network: the MNI152 T1 average that comes with nilearn.

One axial plane at z = +8 mm (thalamus and ventricles), pixels of 1 mm, skull-stripped, values 0 .. 1. It is an average
of 152 heads, so it is smoother than a single one, and its atlas is about 6 % larger than the heads that the prior
``brain-axial-128`` was trained on (128 x 128 at 1.5 mm, anterior at the top): a restoration has to fit the scale.

Source: Fonov et al., "Unbiased nonlinear average age-appropriate brain templates from birth to adulthood" (NeuroImage
47, 2009), doi:10.1016/S1053-8119(09)70884-5; ICBM 152 nonlinear symmetric 2009a, as packed by nilearn.
"""

from __future__ import annotations

import warnings
from itertools import pairwise

import numpy as np
import numpy.typing as npt

from napari_brgm.scan import Scan

__all__ = ["brain_slice", "thick_brain_slice"]

_HEIGHT_MM = 8.0
_FACTOR = 4  # coarse pixels of 4 mm

# strokes of a brush: width in mm, points (x, y) in RAS mm; left insula, right frontal lobe, right ventricle
_STROKES: tuple[tuple[float, tuple[tuple[float, float], ...]], ...] = (
    (11.0, ((-52.0, 22.0), (-40.0, 10.0), (-34.0, -8.0), (-42.0, -26.0))),
    (8.0, ((14.0, 56.0), (24.0, 42.0), (20.0, 26.0))),
    (9.0, ((10.0, -30.0), (22.0, -44.0), (40.0, -56.0))),
)


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
    scan = _template_slice()
    piece = scan.slice("axial", 0)
    rows, columns = np.indices(piece.image.shape)
    x = piece.affine[0, 0] * rows + piece.affine[0, 1] * columns + piece.affine[0, 3]  # (H, W) RAS mm
    y = piece.affine[1, 0] * rows + piece.affine[1, 1] * columns + piece.affine[1, 3]
    mask = np.zeros(piece.image.shape, dtype=bool)
    for width, points in _STROKES:
        for start, end in pairwise(points):
            mask |= _distance(x, y, start, end) <= width / 2
    return scan, mask


def thick_brain_slice() -> Scan:
    """Take the same slice as a coarse scan would show it: the mean of each 4 x 4 mm, (49, 58, 1), values 0 .. 1.

    Examples
    --------
    >>> thick_brain_slice().spacing[:2]
    array([4., 4.])
    """
    scan = _template_slice()
    size = [n // _FACTOR for n in scan.shape[:2]]
    cut = scan.array[: size[0] * _FACTOR, : size[1] * _FACTOR, 0]
    coarse = cut.reshape(size[0], _FACTOR, size[1], _FACTOR).mean(axis=(1, 3))
    index = np.diag([_FACTOR, _FACTOR, 1.0, 1.0])
    index[:2, 3] = (_FACTOR - 1) / 2  # centre of a coarse pixel
    return Scan(coarse[:, :, None], scan.affine @ index, name="MNI152 T1, 4 mm", modality="MR")


def _template_slice() -> Scan:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # nilearn announces its own future changes on import
        from nilearn.datasets import load_mni152_template

        template = load_mni152_template(resolution=1)
        volume = np.asarray(template.dataobj, dtype=np.float32)
    affine = np.array(template.affine, dtype=float)
    k = round((_HEIGHT_MM - affine[2, 3]) / affine[2, 2])
    affine[2, 3] += k * affine[2, 2]
    return Scan(volume[:, :, k : k + 1], affine, name="MNI152 T1", modality="MR")


def _distance(
    x: npt.NDArray[np.float64], y: npt.NDArray[np.float64], start: tuple[float, float], end: tuple[float, float]
) -> npt.NDArray[np.float64]:
    """Distance of each point (x, y) from the straight line between start and end."""
    run, rise = end[0] - start[0], end[1] - start[1]
    along = np.clip(((x - start[0]) * run + (y - start[1]) * rise) / (run**2 + rise**2), 0, 1)
    return np.asarray(np.hypot(x - start[0] - along * run, y - start[1] - along * rise))
