"""Contact sheet: truth, observation, rivals and ours side by side."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    import numpy.typing as npt

__all__ = ["PanelRow", "contact_sheet"]

_INCHES = 1.4  # a panel


@dataclass(frozen=True, slots=True, eq=False)
class PanelRow:
    """One slice of one task: panels by column heading (missing ones stay empty), all (h, w) in grey levels 0..255."""

    title: str
    panels: dict[str, npt.NDArray[np.floating]]


def contact_sheet(path: Path, rows: Sequence[PanelRow], columns: Sequence[str], spread: Sequence[str] = ()) -> None:
    """Draw the rows to a PNG, grey levels 0..255; ``spread`` columns (standard deviations) on 0..64 in colour."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(_INCHES * (len(columns) + 0.4), _INCHES * len(rows) + 0.4), layout="constrained")
    FigureCanvasAgg(figure)  # no window, no pyplot state
    axes = figure.subplots(len(rows), len(columns), squeeze=False)
    for row, line in zip(rows, axes, strict=True):
        for column, panel in zip(columns, line, strict=True):
            panel.set_xticks([])
            panel.set_yticks([])
            if row is rows[0]:
                panel.set_title(column, fontsize=8, parse_math=False)
            if column == columns[0]:
                panel.set_ylabel(row.title, fontsize=7, parse_math=False)
            image = row.panels.get(column)
            if image is None:
                panel.set_frame_on(False)
            elif column in spread:
                panel.imshow(np.asarray(image, np.float32), cmap="magma", vmin=0, vmax=64)
            else:
                panel.imshow(np.asarray(image, np.float32), cmap="gray", vmin=0, vmax=255)
    figure.savefig(path, dpi=110)
