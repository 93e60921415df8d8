"""Areas that are measured in slices by a rule that is the same for true and restored ones. No rule of a clinic.

ventricles   of an axial T1 brain slice: dark fluid in the middle. s: image smoothed by 1 mm; brain: the largest
             component of s > 25 grey levels, holes filled; fluid: s < half of the brain's median, 15 mm and more
             inside the brain. Components that reach into an ellipse of 36 x 28 mm round the brain's middle
             (semi-axes, rows x columns).
lungs        of a frontal chest X-ray: dark fields. In a window of each half (rows 1/8 to 3/4, 1/10 to the middle)
             what is below Otsu's threshold of it, opened by a disk of 1/32 of the side; the component that weighs
             most round the window's middle. Where a field reaches the window's outer edge, or more than half
             of its top, it is not the lung alone, and the image is left out.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from scipy import ndimage
from skimage.filters import threshold_otsu
from skimage.morphology import disk

if TYPE_CHECKING:
    from collections.abc import Callable

    import numpy.typing as npt

    from napari_brgm.evaluation.held_out import HeldOutSet

    Image = npt.NDArray[np.floating]
    Region = npt.NDArray[np.bool_]

__all__ = ["AreaMeasure", "area_measure", "lung_mask", "ventricle_mask"]

_AIR, _FLUID = 25.0, 0.5  # grey levels; share of the brain's median
_SMOOTH_MM, _DEEP_MM = 1.0, 15.0
_MIDDLE_MM = (36.0, 28.0)  # semi-axes: rows, columns
_TOP_SHARE = 0.5


def ventricle_mask(image: Image, pixel_mm: float) -> Region:
    """Fluid in the middle of an axial brain slice (R, R), grey levels 0..255; empty where there is no brain."""
    smooth = ndimage.gaussian_filter(np.asarray(image, np.float64), _SMOOTH_MM / pixel_mm)
    brain = _largest(ndimage.binary_fill_holes(smooth > _AIR))
    if not brain.any():
        return brain
    deep = ndimage.binary_erosion(brain, iterations=round(_DEEP_MM / pixel_mm))
    labels, _ = ndimage.label((smooth < _FLUID * np.median(smooth[brain])) & deep)
    middle = ndimage.center_of_mass(brain)
    apart = [
        (at - centre) * pixel_mm / axis
        for at, centre, axis in zip(np.ogrid[: brain.shape[0], : brain.shape[1]], middle, _MIDDLE_MM, strict=True)
    ]
    reached = np.unique(labels[apart[0] ** 2 + apart[1] ** 2 < 1])
    found: Region = np.isin(labels, reached[reached > 0])
    return found


def lung_mask(image: Image) -> Region:
    """Both lung fields of a frontal chest X-ray (R, R), grey levels, bone bright; empty where none is found."""
    size = image.shape[0]
    smooth = ndimage.gaussian_filter(np.asarray(image, np.float64), size / 128)
    found = np.zeros(image.shape, np.bool_)
    for window in _windows(size):
        part = smooth[window]
        if np.ptp(part) == 0:
            continue
        threshold: float = threshold_otsu(part)  # type: ignore[no-untyped-call]
        ball: Region = disk(size // 32)  # type: ignore[no-untyped-call]
        dark = ndimage.binary_opening(part < threshold, ball)
        labels, count = ndimage.label(dark)
        if not count:
            continue
        rows, columns = (np.linspace(-1, 1, n) for n in part.shape)
        weight = np.exp(-((rows[:, None] / 0.7) ** 2) - (columns / 0.6) ** 2)
        best = 1 + int(np.argmax(ndimage.sum(weight, labels, range(1, count + 1))))
        found[window] = ndimage.binary_fill_holes(labels == best)
    return found


@dataclass(frozen=True, slots=True)
class AreaMeasure:
    """What is measured in the images of a set.

    Attributes
    ----------
    name, unit : str
    mask : callable
        Image to region.
    pixel : float
        Of one pixel, in ``unit``.
    """

    name: str
    unit: str
    mask: Callable[[Image], Region]
    pixel: float

    def __call__(self, image: Image) -> float:
        """Area in ``unit``; nan where the rule finds what it says it cannot measure."""
        region = self.mask(image)
        usable = self.name != "lungs" or _both_lungs(region)
        return float(region.sum() * self.pixel) if usable else float("nan")


def area_measure(held: HeldOutSet) -> AreaMeasure:
    """Ventricles in mm^2 of a brain set, lungs in percent of the frame of a chest set."""
    framing = held.framing
    if held.folder == "xray":
        return AreaMeasure("lungs", "% of the frame", lung_mask, 100 / framing.resolution**2)
    mm = framing.spacing_mm
    return AreaMeasure("ventricles", "mm²", lambda image: ventricle_mask(image, mm), mm**2)


def _windows(size: int) -> tuple[tuple[slice, slice], tuple[slice, slice]]:
    rows, side, middle = slice(size // 8, 3 * size // 4), size // 10, size // 2
    return (rows, slice(side, middle)), (rows, slice(middle, size - side))


def _both_lungs(region: Region) -> bool:
    parts = [region[window] for window in _windows(len(region))]
    outer = parts[0][:, 0].any() or parts[1][:, -1].any()
    return all(part.any() and part[0].mean() <= _TOP_SHARE for part in parts) and not outer


def _largest(region: Region) -> Region:
    labels, count = ndimage.label(region)
    if not count:
        return np.zeros_like(region)
    largest: Region = labels == 1 + np.argmax(ndimage.sum(region, labels, range(1, count + 1)))
    return largest
