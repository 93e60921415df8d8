"""Reliability diagrams and sparsification curves, one panel a task."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from napari_brgm.evaluation.calibration_figures import PLOTTED

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

__all__ = ["plot_reliability", "plot_sparsification"]

_COLUMNS = 4
_INCHES = 2.6  # a panel


def plot_reliability(path: Path, tasks: dict[str, Any]) -> None:
    """Share of hidden pixels inside intervals against their level, before and after calibration."""

    def draw(axes: Any, task: dict[str, Any]) -> None:
        axes.plot([0, 1], [0, 1], color="0.7", linewidth=1)
        for when, colour in (("before", "tab:orange"), ("after", "tab:blue")):
            for matter, style in (("all", "-"), ("tissue", ":")):
                shares = task[when][f"reliability_{matter}"]
                axes.plot(PLOTTED, shares, style, color=colour, label=f"{when}, {matter}")

    _panels(path, tasks, draw, ("level of the interval", "share of hidden pixels inside"))


def plot_sparsification(path: Path, tasks: dict[str, Any]) -> None:
    """RMSE of what is left when the most uncertain pixels are removed, in units of the RMSE of all."""

    def draw(axes: Any, task: dict[str, Any]) -> None:
        by_std, by_error = task["after"]["sparsification"]
        removed = np.arange(len(by_std)) / len(by_std)
        axes.plot(removed, by_std, color="tab:blue", label="by the std")
        axes.plot(removed, by_error, color="tab:green", label="by the error")
        axes.plot(removed, np.ones_like(removed), color="0.7", label="constant map")

    _panels(path, tasks, draw, ("share of pixels removed", "RMSE of those left"))


def _panels(
    path: Path, tasks: dict[str, Any], draw: Callable[[Any, dict[str, Any]], None], labels: tuple[str, str]
) -> None:
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    rows = -(-len(tasks) // _COLUMNS)
    figure = Figure(figsize=(_INCHES * _COLUMNS, _INCHES * rows + 0.6), layout="constrained")
    FigureCanvasAgg(figure)  # no window, no pyplot state
    panels = figure.subplots(rows, _COLUMNS, squeeze=False, sharex=True, sharey=True).ravel()
    for axes, (name, task) in zip(panels, tasks.items(), strict=False):
        draw(axes, task)
        axes.set_title(name, fontsize=9, parse_math=False)
    for axes in panels[len(tasks) :]:
        axes.set_axis_off()
    figure.supxlabel(labels[0])
    figure.supylabel(labels[1])
    handles, names = panels[0].get_legend_handles_labels()
    figure.legend(handles, names, loc="outside upper center", ncols=len(names), frameon=False)
    figure.savefig(path, dpi=100)
