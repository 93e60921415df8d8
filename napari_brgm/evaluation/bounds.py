"""Conformal bounds for a whole image and for the mean of a region, from what a run has itself: its draws.

    whole image   b = 10 % quantile over draws of PSNR(mean, draw), or SSIM;      PSNR(mean, truth) >= b - q
    region        m, s = mean and std over draws of the region's mean;            |truth - m| <= q s

q is the split-conformal quantile of b - PSNR, or of |truth - m| / s, over slices of other subjects (calibration.py has
the same for single pixels). The promise holds for one more slice drawn at random from such slices, 90 times of 100;
regions and slices of one subject share their fate, so that halves are parted by subjects.

Source: Romano, Patterson and Candes, "Conformalized quantile regression" (NeurIPS 2019), Eq. 5 to 9, one-sided;
Papadopoulos et al., "Inductive confidence machines for regression" (ECML 2002), for the regions.
"""

from __future__ import annotations

import csv
import json
import math
from dataclasses import asdict, dataclass, fields
from typing import TYPE_CHECKING, Any

import numpy as np
from scipy.stats import t as student

from napari_brgm.calibration import TISSUE
from napari_brgm.errors import InputError
from napari_brgm.evaluation.metrics import PEAK, ssim_of_each

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Sequence
    from pathlib import Path

    import numpy.typing as npt

    from napari_brgm.evaluation.held_out_draws import DrawnSlice, HeldOutDraws

    Floats = npt.NDArray[np.floating[Any]]

__all__ = ["BOUND_LEVEL", "BoundRow", "BoundTable", "bound_rows", "conformal_quantile"]

BOUND_LEVEL = 0.9
QUANTITIES = ("PSNR, dB", "SSIM", "region mean, grey levels")
_REGION = QUANTITIES[2]
_TILES = 16  # along a side of the frame
_HALVINGS = 50  # random ones, both ways
_LEAST = 20  # subjects: a half of fewer has no 90 % quantile


@dataclass(frozen=True, slots=True)
class BoundRow:
    """One quantity of one slice.

    Attributes
    ----------
    task : str
    slice, subject : int
    quantity : str
        One of ``QUANTITIES``.
    predicted : float
        b of a whole image, m of a region.
    scale : float
        1 of a whole image, s of a region.
    true : float
    draws : int
    """

    task: str
    slice: int
    subject: int
    quantity: str
    predicted: float
    scale: float
    true: float
    draws: int

    @property
    def score(self) -> float:
        """What q bounds; a region that all draws agree on is right or infinitely wrong."""
        if self.quantity != _REGION:
            return self.predicted - self.true
        apart = abs(self.true - self.predicted)
        return apart / self.scale if self.scale > 0 else math.inf if apart > 0 else 0.0

    @property
    def unfitted(self) -> float:
        """Q that stands for no fit: the draws' own quantile, or that of a Student distribution."""
        return 0.0 if self.quantity != _REGION else float(student.ppf(0.5 + BOUND_LEVEL / 2, self.draws - 1))


def conformal_quantile(scores: Floats, level: float = BOUND_LEVEL) -> float:
    """The ceil((N + 1) level)-th smallest of scores (N,): one more is at most so large with this probability or more.

    Infinite where N is too small for the level.

    Examples
    --------
    >>> conformal_quantile(np.arange(19.0)), conformal_quantile(np.arange(8.0))
    (17.0, inf)
    """
    place = math.ceil((len(scores) + 1) * level - 1e-9)
    return float(np.sort(scores)[place - 1]) if place <= len(scores) else math.inf


def bound_rows(drawn: HeldOutDraws, tell: Callable[[int, int, str], None] | None = None) -> list[BoundRow]:
    """Rows of all slices, restored or kept; regions are squares of a 16th of the frame within holes, of tissue."""
    return [row for one in drawn.slices(tell) for row in _rows_of(one, drawn.calibrated(one))]


def _rows_of(one: DrawnSlice, draws: npt.NDArray[np.float64]) -> list[BoundRow]:
    region, count = one.task.region, len(draws)

    def whole(values: Floats) -> npt.NDArray[np.float64]:
        image = one.truth.astype(np.float64)
        image[region] = values
        return image

    def row(quantity: str, predicted: float, scale: float, true: float) -> BoundRow:
        return BoundRow(one.task.name, one.index, one.subject, quantity, predicted, scale, true, count)

    mean, truth = whole(one.kept.mean), one.truth.astype(np.float64)
    images = np.stack([whole(draw) for draw in draws])
    found = []
    several = np.concatenate([images, truth[None]])  # (S + 1, R, R), the truth last
    for quantity, measure in zip(QUANTITIES[:2], (_psnr_of_each, ssim_of_each), strict=True):
        *own, true = measure(several, np.repeat(mean[None], len(several), axis=0)).tolist()
        found.append(row(quantity, float(np.quantile(own, 1 - BOUND_LEVEL)), 1.0, true))
    if one.task.missing is not None:
        side = len(truth) // _TILES
        for top, left in np.ndindex(_TILES, _TILES):
            tile = np.s_[top * side : (top + 1) * side, left * side : (left + 1) * side]
            if region[tile].all() and mean[tile].mean() > TISSUE:
                means = images[(slice(None), *tile)].mean(axis=(1, 2))
                found.append(
                    row(_REGION, float(mean[tile].mean()), float(means.std(ddof=1)), float(truth[tile].mean()))
                )
    return found


def _psnr_of_each(images: Floats, others: Floats) -> npt.NDArray[np.float64]:
    with np.errstate(divide="ignore"):
        return np.asarray(10 * np.log10(PEAK**2 / np.square(images - others).mean(axis=(1, 2))))


class BoundTable:
    """Bounds fitted on a half of the subjects and checked on the other, over random halvings.

    Parameters
    ----------
    rows : sequence of BoundRow
    seed : int
        Of the halvings.

    Raises
    ------
    InputError
        There are fewer than 20 subjects: half of them could not hold a bound of 90 %.
    """

    def __init__(self, rows: Sequence[BoundRow], seed: int = 0) -> None:
        self.rows, self.seed = list(rows), seed
        self.checked({row.subject for row in rows})

    @staticmethod
    def checked(subjects: Collection[int]) -> None:
        """Refuse too few subjects, before they are restored."""
        if len(set(subjects)) < _LEAST:
            raise InputError(
                f"slices of at least {_LEAST} subjects are needed, got {len(set(subjects))}; ask for more slices"
            )

    def fitted(self, task: str, quantity: str, subjects: Collection[int]) -> float:
        """Q from these subjects."""
        return conformal_quantile(np.array([row.score for row in self._of(task, quantity) if row.subject in subjects]))

    def halvings(self, task: str, quantity: str) -> tuple[float, float, float]:
        """Mean and standard deviation of the share that the other half's bounds hold, and the mean q."""
        rows = self._of(task, quantity)
        subjects, random = np.unique([row.subject for row in rows]), np.random.default_rng(self.seed)
        shares, factors = [], []
        for _ in range(_HALVINGS):
            mixed = random.permutation(subjects).tolist()
            halves = set(mixed[: len(mixed) // 2]), set(mixed[len(mixed) // 2 :])
            for fitted, checked in (halves, halves[::-1]):
                q = self.fitted(task, quantity, fitted)
                shares.append(np.mean([row.score <= q for row in rows if row.subject in checked]))
                factors.append(q)
        return float(np.mean(shares)), float(np.std(shares, ddof=1)), float(np.mean(factors))

    def markdown(self) -> str:
        """A line for each task and quantity."""
        lines = [
            "| task | quantity | values (subjects) | held without a fit, % | q | held by the other half's, % "
            "| bound below the truth, or half width (median) |",
            "|" + "---|" * 7,
        ]
        for task, quantity in dict.fromkeys((row.task, row.quantity) for row in self.rows):
            rows = self._of(task, quantity)
            before = np.mean([row.score <= row.unfitted for row in rows])
            share, std, q = self.halvings(task, quantity)
            sizes = [q * row.scale if quantity == _REGION else row.true - row.predicted + q for row in rows]
            lines.append(
                f"| {task} | {quantity} | {len(rows)} ({len({row.subject for row in rows})}) | {100 * before:.0f} "
                f"| {q:.3g} | {100 * share:.1f} ± {100 * std:.1f} | {np.median(sizes):.3g} |"
            )
        return "\n".join(lines) + "\n"

    def as_dict(self) -> dict[str, dict[str, float]]:
        """Q of all subjects by task and quantity, where there are values enough for one."""
        everyone = {row.subject for row in self.rows}
        found: dict[str, dict[str, float]] = {}
        for task, quantity in dict.fromkeys((row.task, row.quantity) for row in self.rows):
            q = self.fitted(task, quantity, everyone)
            if math.isfinite(q):
                found.setdefault(task, {})[quantity] = q
        return found

    def write(self, out: Path) -> None:
        """Write bounds.csv, bounds.md and bounds.json."""
        with (out / "bounds.csv").open("w", newline="") as stream:
            writer = csv.DictWriter(stream, [field.name for field in fields(BoundRow)])
            writer.writeheader()
            writer.writerows(asdict(row) for row in self.rows)
        (out / "bounds.md").write_text(self.markdown())
        (out / "bounds.json").write_text(json.dumps(self.as_dict(), indent=1) + "\n")

    def _of(self, task: str, quantity: str) -> list[BoundRow]:
        return [row for row in self.rows if (row.task, row.quantity) == (task, quantity)]
