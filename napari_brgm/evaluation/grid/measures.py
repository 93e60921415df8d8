"""Measures: figures of many rows together, and whether two methods differ by more than the choice of subjects explains.

Errors are pooled as the measuring stick pools them: RMSE over all pixels of all images. Intervals are percentiles of
figures over 2,000 draws of subjects with all their images (slices of one head are no independent witnesses); a
difference is one of the two methods on the images that both restored.

Source: Efron and Tibshirani, "An Introduction to the Bootstrap" (1993), Ch. 13 (percentile intervals).
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy.typing as npt

    from napari_brgm.evaluation.grid.rows import Row

__all__ = ["MEASURES", "Difference", "Measure", "difference", "pooled", "spread_of"]

_DRAWS = 2000


@dataclass(frozen=True, slots=True)
class Measure:
    """One column of figures.

    Attributes
    ----------
    title : str
    meaning : str
        A sentence for who reads scans and no formulas.
    decimals : int
    better : {-1, 0, 1}
        -1: less is better; 1: more; 0: neither.
    """

    title: str
    meaning: str
    decimals: int
    better: int = -1


MEASURES: dict[str, Measure] = {
    "rmse": Measure(
        "RMSE", "Typical error of a restored pixel, in grey levels of 0 (black) to 255 (white); large ones count most "
        "(the root of the mean square over all images).",
        1,
    ),
    "efficientnet": Measure(
        "perceptual (EfficientNet-Lite0)", "How different restored and true slice look to a network that knows "
        "photographs: 0 is alike. Blur and wrong texture count, shifts of brightness hardly.", 3,
    ),
    "lpips": Measure("LPIPS (vgg)", "The same by the network and the weights that papers use.", 3),
    "mae": Measure("MAE", "Mean error of a restored pixel, in grey levels.", 1),
    "psnr": Measure("PSNR, dB", "Error of the whole slice on a logarithmic scale: 6 dB more is half the error.", 1, 1),
    "ssim": Measure("SSIM", "How alike small neighbourhoods are in level, contrast and pattern: 1 is alike.", 3, 1),
    "ms_ssim": Measure("1 - MS-SSIM", "The same at several coarsenesses, turned round: 0 is alike.", 3),
    "gmsd": Measure("GMSD", "How unevenly edges are kept: 0 is alike.", 3),
    "sharpness": Measure(
        "sharpness", "Fine detail against that of the true slice: 1 is as sharp, less is blurred, more is grainy.", 2, 0
    ),
    "brats_ssim": Measure("BraTS SSIM", "SSIM inside the hole, as the BraTS in-painting challenge scales it.", 3, 1),
    "brats_mse": Measure("BraTS MSE", "Squared error inside the hole, as the challenge scales it.", 4),
    "brats_psnr": Measure("BraTS PSNR, dB", "PSNR inside the hole, as the challenge scales it.", 1, 1),
    "std": Measure("claimed error", "The standard deviation that the method itself claims, in grey levels.", 1, 0),
    "crps": Measure("CRPS", "Error that counts honesty: narrow claims pay if they are true, and cost if not.", 1),
    "held_50": Measure("held at 50 %", "Share of hidden pixels whose true value lies in the 50 % interval.", 3, 0),
    "held_80": Measure("held at 80 %", "The same of 80 % intervals.", 3, 0),
    "held_90": Measure("held at 90 %", "The same of 90 % intervals: 0.9 is honest, less is too sure.", 3, 0),
    "held_95": Measure("held at 95 %", "The same of 95 % intervals.", 3, 0),
    "busy": Measure("seconds", "Time of a processor core for one slice.", 2),
    "megabytes": Measure("memory, MB", "Peak of memory for one slice, beyond the loaded model.", 0),
}  # fmt: skip
_ROOTS = ("rmse",)  # pooled as squares


@dataclass(frozen=True, slots=True)
class Difference:
    """Figure of one method less that of another, on the images of both.

    Attributes
    ----------
    value, low, high : float
        The difference, and its 95 % interval over subjects.
    images, subjects : int
    """

    value: float
    low: float
    high: float
    images: int
    subjects: int

    @property
    def certain(self) -> bool:
        """Whether the interval excludes 0."""
        return self.low > 0 or self.high < 0


def pooled(rows: Sequence[Row], measure: str) -> float | None:
    """Figure of all rows together; None where none has it."""
    parts = _parts(rows, measure)
    return None if parts is None else float(_figure(parts.sum(axis=0), measure))


def spread_of(rows: Sequence[Row], measure: str) -> float | None:
    """Standard deviation over images of what ``pooled`` pools; None where no row has it."""
    parts = _parts(rows, measure)
    return None if parts is None else float(_figure(parts.T, measure).std())


def difference(ours: Sequence[Row], other: Sequence[Row], measure: str, seed: int = 0) -> Difference | None:
    """Ours less the other's, on the images of both of one task; None where there is none, or nothing was measured."""
    named = {(row.task, row.image): row for row in other}
    pairs = [(row, named[row.task, row.image]) for row in ours if (row.task, row.image) in named]
    a, b = (_parts(side, measure) for side in (tuple(p[0] for p in pairs), tuple(p[1] for p in pairs)))
    if a is None or b is None or len(a) != len(pairs) or len(b) != len(pairs):
        return None
    whose = np.array([row.subject for row, _ in pairs])
    subjects = np.unique(whose)
    sums = [np.stack([part[whose == one].sum(axis=0) for one in subjects]) for part in (a, b)]  # (subjects, 2) each
    times = _times_drawn(len(subjects), seed)
    x, y = (_figure((times @ part).T, measure) for part in sums)
    low, high = np.nanpercentile(x - y, (2.5, 97.5))
    whole = [_figure(part.sum(axis=0), measure) for part in (a, b)]
    return Difference(float(whole[0] - whole[1]), float(low), float(high), len(pairs), len(subjects))


@lru_cache(maxsize=8)
def _times_drawn(subjects: int, seed: int) -> npt.NDArray[np.float64]:
    """How often each subject is in each draw, (draws, subjects)."""
    drawn = np.random.default_rng(seed).integers(0, subjects, (_DRAWS, subjects))
    return np.stack([np.bincount(one, minlength=subjects) for one in drawn]).astype(np.float64)


def _parts(rows: Sequence[Row], measure: str) -> npt.NDArray[np.float64] | None:
    """(images, 2): numerator and denominator of each row that has the figure."""
    if measure == "sharpness":
        found = [(row.energy, row.true_energy) for row in rows]
    else:
        values = [getattr(row, measure) for row in rows]
        found = [(value**2 if measure in _ROOTS else value, 1.0) for value in values if value is not None]
    return np.array(found, np.float64) if found else None


def _figure(sums: npt.NDArray[np.float64], measure: str) -> npt.NDArray[np.float64]:
    """Figures of sums (2, ...)."""
    with np.errstate(divide="ignore", invalid="ignore"):
        share = sums[0] / sums[1]
    return np.asarray(np.sqrt(share) if measure in _ROOTS else share)
