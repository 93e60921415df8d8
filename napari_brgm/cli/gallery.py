"""Gallery: synthetic pictures in rows in a PNG, each with its heading, all under a notice."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from napari_brgm.errors import OutputError

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from napari_brgm.cli.sheet import Panel

__all__ = ["NOTICE", "draw_gallery"]

NOTICE = "synthetic: drawn by a generative model; not for diagnosis"
_INCHES = 1.9  # a picture
_COLUMNS = 8  # at most


def draw_gallery(path: Path, panels: Sequence[Panel], title: str, notice: str = NOTICE) -> None:
    """Draw the panels to a PNG, each on the grey scale of its own finite values; in mm.

    Raises
    ------
    OutputError
        The file cannot be written.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    columns = min(_COLUMNS, max(4, math.ceil(len(panels) ** 0.5)))
    rows = math.ceil(len(panels) / columns)
    figure = Figure(figsize=(_INCHES * columns, (_INCHES + 0.25) * rows + 0.7), layout="constrained")
    FigureCanvasAgg(figure)  # no window, no pyplot state
    figure.suptitle(f"{title}\n{notice}", fontsize=10)
    for axis in (axes := figure.subplots(rows, columns, squeeze=False).ravel()):
        axis.set_axis_off()
    for axis, panel in zip(axes, panels, strict=False):
        seen = panel.image[np.isfinite(panel.image)]
        low, high = (float(seen.min()), float(np.percentile(seen, 99.8))) if seen.size else (0.0, 1.0)
        axis.imshow(panel.image, cmap="gray", vmin=low, vmax=high, aspect=panel.spacing[0] / panel.spacing[1])
        axis.set_title(panel.heading, fontsize=8)
    try:
        figure.savefig(path, dpi=110, metadata={"Description": notice})
    except OSError as error:
        raise OutputError(f"cannot write {path.name}: {error.strerror or error}") from error
