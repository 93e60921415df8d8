"""Native detail of samples: whether a hole can be found by its grain, on scans finer than a prior's frame.

    ratio = mean (h x)^2 inside the hole / mean (h y)^2 in the ring round it,   h x = x - Gaussian(1 pixel) x

in tissue; of samples and, for comparison, of what was hidden. Parts that a fitted frame does not reach stay black and
do not count. Scans are held-out images on their own grid. Where a prior's frame is that grid, they are enlarged four
times by cubic splines and get a grain like a detector's: simulated.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from scipy import ndimage

from napari_brgm.calibration import TISSUE
from napari_brgm.corruptions import Frame, Mask
from napari_brgm.engine.detail_model import covered
from napari_brgm.engine.restore import restore
from napari_brgm.evaluation.held_out import SETS, evenly_spaced, grey_images, set_of
from napari_brgm.evaluation.masks import brush_strokes

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    import numpy.typing as npt

    from napari_brgm.engine.restoration import Restoration
    from napari_brgm.priors.prior import Prior

__all__ = ["Grain", "grain_of", "native_grain"]

_RING = 10  # native pixels round a hole
_SIGMA = 1.0  # native pixels: what is finer is grain
_LIMIT = 0.15  # of the ring's energy
_WIDTH = (0.05, 0.15)  # of strokes, in shorter sides: several frame pixels
_ENLARGED = 4
_GRAIN = (3.0, 0.03, 0.8)  # grey levels; more in a grey level; blur in pixels: of a simulated detector
_GAUSSIAN_90 = 1.645


@dataclass(frozen=True, slots=True)
class Grain:
    """Figures of scans, one entry each.

    Attributes
    ----------
    samples, truth : (n,) ndarray
        Ratio of the module's equation.
    covered : (n,) ndarray
        Share of hidden tissue pixels in the 90 % intervals.
    rmse : (n,) ndarray
        Of the estimate in hidden tissue, grey levels.
    simulated : bool
        Whether the scans were enlarged and got a simulated grain.
    """

    samples: npt.NDArray[np.float64]
    truth: npt.NDArray[np.float64]
    covered: npt.NDArray[np.float64]
    rmse: npt.NDArray[np.float64]
    simulated: bool

    @staticmethod
    def middle(ratios: npt.NDArray[np.float64]) -> float:
        """Their median."""
        return float(np.median(ratios))

    @staticmethod
    def within(ratios: npt.NDArray[np.float64]) -> float:
        """Share of the scans whose ratio is within 15 % of 1."""
        return float(np.mean(np.abs(ratios - 1) <= _LIMIT))


def grain_of(
    image: npt.NDArray[np.floating[Any]], original: npt.NDArray[np.floating[Any]], hidden: npt.NDArray[np.bool_],
    reached: npt.NDArray[np.bool_] | None = None,
) -> float:  # fmt: skip
    """Ratio of the module's equation.

    Parameters
    ----------
    image : (H, W) ndarray
        What fills the hole, beside what was measured.
    original : (H, W) ndarray
        Grey levels, complete: it says where tissue is.
    hidden : (H, W) bool ndarray
    reached : (H, W) bool ndarray, optional
        What is counted; None: everything.
    """
    tissue = ndimage.gaussian_filter(original.astype(np.float64), 2 * _SIGMA) > 2 * TISSUE
    if reached is not None:
        tissue &= reached
    ring = ~hidden & (ndimage.distance_transform_edt(~hidden) <= _RING) & tissue
    inside = hidden & tissue
    energy, outer = (
        np.square(x - ndimage.gaussian_filter(x.astype(np.float64), _SIGMA)) for x in (image, original)
    )  # the ring is that of the scan as it is: nothing of the hole reaches into it
    return float(energy[inside].mean() / outer[ring].mean())


def native_grain(
    prior: Prior, data: Path, count: int, samples: int = 8, seed: int = 0,
    tell: Callable[[int, int, str], None] | None = None,
    show: Callable[[npt.NDArray[np.float32], npt.NDArray[np.bool_], Restoration], None] | None = None,
) -> Grain:  # fmt: skip
    """Restore ``count`` held-out scans under strokes (MAP) and measure them.

    Parameters
    ----------
    prior : Prior
    data : Path
        The folder of sets (held_out.py).
    count, samples, seed : int
    tell, show : callable, optional
        Get the progress; and each scan, what was hidden, and the restoration.

    Raises
    ------
    InputError, ScanError
        The prior fits none of the sets, or the set is missing.
    """
    own = set_of(prior)
    fine = max((held for held in SETS if held.folder == own.folder), key=lambda held: held.framing.resolution)
    slices = fine.read(data, "validation")
    picked = evenly_spaced(len(slices.images), count)
    simulated = fine.framing.resolution == own.framing.resolution
    spacing = (fine.framing.spacing_mm,) * 2 if fine.framing.spacing_mm else None
    if simulated and spacing:
        spacing = (spacing[0] / _ENLARGED,) * 2
    found = []
    for number, (index, image) in enumerate(zip(picked, grey_images(slices, picked), strict=True)):
        scan = _enlarged(image, seed + index) if simulated else image
        hidden = brush_strokes((scan.shape[0], scan.shape[1]), index, width=_WIDTH)
        given = np.where(hidden, np.float32(0), scan)
        result = restore(given, Mask(hidden), prior, samples=samples, seed=seed, spacing=spacing)
        if show is not None:
            show(scan, hidden, result)
        where = hidden & (scan > TISSUE)
        error, sd = (scan - result.mean)[where], result.std[where]
        reached = _reached(result)
        ratios = [grain_of(x, scan, hidden, reached) for x in result.samples]
        found.append(
            (
                np.mean(ratios), grain_of(scan, scan, hidden, reached), np.mean(np.abs(error) <= _GAUSSIAN_90 * sd),
                np.sqrt(np.mean(np.square((scan - result.estimate)[where]))),
            )
        )  # fmt: skip
        if tell is not None:
            tell(number + 1, len(picked), prior.info.name)
    grain, truth, covered, rmse = np.array(found, dtype=np.float64).T
    return Grain(grain, truth, covered, rmse, simulated)


def _reached(result: Restoration) -> npt.NDArray[np.bool_]:
    """(H, W) bool: pixels that lie wholly in the prior's frame, and not beside one that does not."""
    told = result.provenance["frame"]
    frame = Frame(
        shape=tuple(told["shape"]), resolution=told["resolution"], ratio=tuple(told["ratio"]),
        centre_native=tuple(told["centre_native"]), centre_frame=tuple(told["centre_frame"]),
        rotation=told["rotation"],
    )  # fmt: skip
    inside = covered(frame, np.ones(frame.shape, dtype=np.bool_)).reshape(frame.shape)
    return np.asarray(ndimage.minimum_filter(inside, 2 * math.ceil(2 * _SIGMA) + 1, mode="nearest"))


def _enlarged(image: npt.NDArray[np.float32], seed: int) -> npt.NDArray[np.float32]:
    """Four times as many pixels a side, with grain."""
    smooth = ndimage.zoom(image, _ENLARGED, order=3, mode="nearest", grid_mode=True)
    least, more, blur = _GRAIN
    white = np.random.default_rng(seed).standard_normal(smooth.shape)
    grain = ndimage.gaussian_filter(white, blur)
    noisy = smooth + (least + more * smooth) * grain / grain.std()
    return np.asarray(noisy.clip(0, None), dtype=np.float32)
