"""Methods against posteriors in closed form, in one table: error of the mean, spread, distance of draws, coverage.

Over the pixels that count, m and s being the exact mean and standard deviation:

    mean error    root mean square of (mean of the draws - m) / s
    std ratio     mean std of the draws over the mean of s
    Wasserstein   mean W1 along 64 random directions of pixels / s, between the method's draws and 2,048 exact ones, in
                  exact standard deviations along each: what 'exact' has is the luck of its own draws
    coverage      share of the truth within the mean of the draws and 1.645 of their std

A method on a problem is a file of its own: a cut run goes on.
"""

from __future__ import annotations

import csv
import time
from dataclasses import asdict, dataclass, fields
from typing import TYPE_CHECKING

import numpy as np
import torch
from scipy.stats import wasserstein_distance

from napari_brgm.errors import InputError
from napari_brgm.evaluation.analytic import CORRUPTIONS, DENSITIES, analytic_problem
from napari_brgm.evaluation.analytic_methods import ANALYTIC_METHODS
from napari_brgm.evaluation.kept import KeptCells

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    import numpy.typing as npt
    from torch import Tensor

    from napari_brgm.evaluation.analytic import AnalyticProblem

__all__ = ["AnalyticRow", "AnalyticTable", "scored"]

_DRAWS, _REFERENCE, _DIRECTIONS = 256, 2048, 64
_GAUSSIAN_90 = 1.645
_VERSION = 1  # of the problems and methods; what was made with another is made again


@dataclass(frozen=True, slots=True)
class AnalyticRow:
    """Figures of the module of one method on one problem; ``parts`` of the exact posterior are likely."""

    density: str
    corruption: str
    number: int
    method: str
    parts: float
    mean_error: float
    std_ratio: float
    wasserstein: float
    coverage: float
    seconds: float


def scored(problem: AnalyticProblem, draws: Tensor, seed: int = 0) -> dict[str, float]:
    """Figures of draws (S, P), S > 1, in grey levels."""
    mean, std = (part[problem.region] for part in problem.exact.moments())
    own = draws[:, problem.region].double()
    middle, spread = own.mean(dim=0), own.std(dim=0)
    generator = torch.Generator().manual_seed(seed)
    reference = problem.exact.draws(_REFERENCE, generator)[:, problem.region]
    directions = torch.randn(len(mean), _DIRECTIONS, generator=generator).double() / std[:, None]
    theirs, ours = reference @ directions, own @ directions
    apart = [wasserstein_distance(*pair) for pair in zip(_columns(ours), _columns(theirs), strict=True)]
    return {
        "mean_error": float(((middle - mean) / std).square().mean().sqrt()),
        "std_ratio": float(spread.mean() / std.mean()),
        "wasserstein": float(np.mean(np.array(apart) / theirs.std(dim=0).numpy())),
        "coverage": float(((problem.truth[problem.region] - middle).abs() <= _GAUSSIAN_90 * spread).double().mean()),
    }


class AnalyticTable:
    """Measures methods on a number of problems of each kind; kept in ``out/cache``.

    Parameters
    ----------
    out : Path
    problems : int
        Truths of each density and corruption.
    methods : sequence of str
        Keys of ``ANALYTIC_METHODS``.
    seed : int

    Raises
    ------
    InputError
        There is no such method.
    OutputError
        The folder cannot be made.
    """

    def __init__(self, out: Path, problems: int, methods: Sequence[str], seed: int = 0) -> None:
        wrong = [name for name in methods if name not in ANALYTIC_METHODS]
        if wrong or not methods:
            raise InputError(f"methods must be some of {', '.join(ANALYTIC_METHODS)}, got {', '.join(wrong) or 'none'}")
        if problems < 1:
            raise InputError(f"at least 1 problem of each kind is needed, got {problems}")
        self.out, self.problems, self.methods, self.seed = out, problems, tuple(methods), seed
        self.rows: list[AnalyticRow] = []

    def run(self, tell: Callable[[int, int, str], None] | None = None) -> None:
        """Measure what is not there yet, and write analytic.csv and analytic.md."""
        cells = KeptCells(self.out / "cache")
        work = [
            (d, c, n, m) for d in DENSITIES for c in CORRUPTIONS for n in range(self.problems) for m in self.methods
        ]
        self.rows = []
        for done, (density, corruption, number, method) in enumerate(work):
            if tell is not None:
                tell(done, len(work), f"{density} prior, {corruption} {number + 1}, {method}")
            name, about = f"{density}--{corruption}--{number}--{method}", {"version": _VERSION, "seed": self.seed}
            kept = cells.load(name, about)
            record = self._measured(density, corruption, number, method) if kept is None else kept.record
            if kept is None:
                cells.save(name, about, {}, record)
            self.rows.append(AnalyticRow(density, corruption, number, method, **record))
        with (self.out / "analytic.csv").open("w", newline="") as stream:
            writer = csv.DictWriter(stream, [field.name for field in fields(AnalyticRow)])
            writer.writeheader()
            writer.writerows(asdict(row) for row in self.rows)
        (self.out / "analytic.md").write_text(self.markdown())

    def _measured(self, density: str, corruption: str, number: int, method: str) -> dict[str, float]:
        problem = analytic_problem(density, corruption, number, self.seed)
        began = time.perf_counter()
        draws = ANALYTIC_METHODS[method](problem, _DRAWS, torch.Generator().manual_seed(self.seed))
        seconds = time.perf_counter() - began
        return {"parts": problem.exact.parts, **scored(problem, draws, self.seed + 1), "seconds": seconds}

    def markdown(self) -> str:
        """Means over the problems of a kind, a line for each method; of the coverage the pooled share."""
        lines = [
            "| prior | task | method | problems (likely parts) | mean error / std | std ratio | Wasserstein / std "
            "| 90 % holds, % | s |",
            "|" + "---|" * 9,
        ]
        for key in dict.fromkeys((row.density, row.corruption, row.method) for row in self.rows):
            rows = [row for row in self.rows if (row.density, row.corruption, row.method) == key]

            def mean(name: str, of: list[AnalyticRow] = rows) -> float:
                return float(np.mean([getattr(row, name) for row in of]))

            lines.append(
                f"| {key[0]} | {key[1]} | {key[2]} | {len(rows)} ({mean('parts'):.1f}) | {mean('mean_error'):.2f} "
                f"| {mean('std_ratio'):.2f} | {mean('wasserstein'):.2f} | {100 * mean('coverage'):.0f} "
                f"| {mean('seconds'):.1f} |"
            )
        return "\n".join(lines) + "\n"


def _columns(values: Tensor) -> npt.NDArray[np.float64]:
    return np.asarray(values.T.numpy())
