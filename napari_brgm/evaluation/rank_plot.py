"""Histograms of ranks: a block for each method, a panel for each quantity, with the band that uniform ranks keep."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np
from scipy.stats import binom

from napari_brgm.evaluation.ranks import LEVEL

if TYPE_CHECKING:
    from pathlib import Path

    from napari_brgm.evaluation.ranks import RankReport

__all__ = ["plot_ranks"]

_WIDTH, _HEIGHT = 1.35, 1.5  # inches, a panel
_ABREAST = 8  # panels


def plot_ranks(path: Path, reports: list[RankReport]) -> None:
    """Write a PNG; failing quantities are red. The band holds one count with 99 %."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    most = max(len(report.names) for report in reports)
    lines = math.ceil(most / _ABREAST)
    columns = math.ceil(most / lines)
    height = (_HEIGHT * lines + 0.35) * len(reports) + 0.5
    figure = Figure(figsize=(_WIDTH * columns + 0.6, height), layout="constrained")
    FigureCanvasAgg(figure)  # no window, no pyplot state
    blocks = figure.subfigures(len(reports), 1, squeeze=False)[:, 0]
    for block, report in zip(blocks, reports, strict=True):
        block.suptitle(
            f"{report.title}: {len(report.ranks)} simulations, {report.draws} draws", fontsize=9, parse_math=False
        )
        bins = report.bins
        low, high = binom.interval(1 - LEVEL, len(report.ranks), 1 / bins)
        grid = block.subplots(lines, columns, sharey=True, squeeze=False)
        panels = grid.ravel()
        for axes, name, counts in zip(panels, report.names, report.histograms, strict=False):
            axes.axhspan(low, high, color="0.88")
            axes.axhline(len(report.ranks) / bins, color="0.6", linewidth=0.8)
            colour = "tab:red" if name in report.failing else "tab:blue"
            axes.bar((np.arange(bins) + 0.5) / bins, counts, 1 / bins, color=colour, edgecolor="white", linewidth=0.5)
            axes.set_title(name, fontsize=7, parse_math=False)
            axes.set_xticks([0, 1], ["0", "1"], fontsize=6)
            axes.tick_params(axis="y", labelsize=6)
        for axes in panels[len(report.names) :]:
            axes.set_axis_off()
        for axes in grid[:, 0]:
            axes.set_ylabel("count", fontsize=7)
    figure.supxlabel("rank of the truth among the draws, as a share", fontsize=8)
    figure.savefig(path, dpi=110)
