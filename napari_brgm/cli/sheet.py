"""Pictures as PNG: a sheet of original, corrupted, restored and standard deviation side by side, and a gallery.

Both in mm and the scan's units, under a notice that also stands in the file's description.
"""

from __future__ import annotations

import io
import math
import warnings
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_brgm.scans.picture_export import write_encoded
from napari_brgm.text import plain_text, shortened

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    import numpy.typing as npt

__all__ = ["SYNTHETIC", "SheetImage", "SheetRow", "draw_gallery", "draw_sheet"]

SYNTHETIC = "synthetic: drawn by a generative model; not for diagnosis"
_INCHES = 3.0  # a panel
_SMALL = 1.9  # a picture of a gallery
_COLUMNS = 8  # of a gallery, at most
_NOTICE = "synthetic where restored, not for diagnosis"
_MISSING = (0.93, 0.35, 0.3, 1.0)
_LITERAL: dict[str, Any] = {"parse_math": False}  # two $ in a name are no formula


@dataclass(frozen=True, slots=True, eq=False)
class SheetImage:
    """One picture.

    Attributes
    ----------
    image : (H, W) or (H, W, 3) ndarray
        In the scan's units. Of a spread in three colours, their root mean square is shown.
    spacing : (float, float)
        Pixel size (row, column), mm, or the row's unit of length.
    missing : (H, W) bool ndarray or None
        Painted over in red.
    """

    heading: str
    image: npt.NDArray[Any]
    spacing: tuple[float, float]
    missing: npt.NDArray[np.bool_] | None = None


@dataclass(frozen=True, slots=True, eq=False)
class SheetRow:
    """Pictures on one scale, and the standard deviation on its own, or None for all rows; lengths in ``length``."""

    title: str
    panels: list[SheetImage]
    spread: SheetImage | None
    length: str = "mm"


def draw_sheet(path: Path, rows: Sequence[SheetRow], title: str, units: str, notice: str = _NOTICE) -> None:
    """Draw the rows to a PNG, ``notice`` under the title and in the file's description.

    Raises
    ------
    OutputError
        The file cannot be written.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    units, notice = shortened(units, 40), plain_text(notice)
    shown = max(len(row.panels) for row in rows)
    columns = shown + (rows[0].spread is not None)
    last = rows[0].panels[-1]
    height, width = last.image.shape[:2]
    tall = min(2.0, max(0.6, height * last.spacing[0] / (width * last.spacing[1])))
    figure = Figure(figsize=(_INCHES * columns + 1.6, _INCHES * tall * len(rows) + 0.9), layout="compressed")
    FigureCanvasAgg(figure)  # no window, no pyplot state
    figure.suptitle(f"{shortened(title)}\n{notice}", fontsize=11, **_LITERAL)
    axes = figure.subplots(len(rows), columns, squeeze=False)
    for row, line in zip(rows, axes, strict=True):
        measured = row.panels[0].image[np.isfinite(row.panels[0].image)]
        limits = (float(measured.min()), float(np.percentile(measured, 99.8))) if measured.size else (0.0, 1.0)
        for axis, panel in zip(line, row.panels, strict=False):
            picture = _show(axis, panel, "gray", limits)
        bar = figure.colorbar(picture, ax=line[len(row.panels) - 1], shrink=0.7)
        bar.set_label(f"intensity ({units})", **_LITERAL)
        if row.spread is not None:
            spreads = row.spread.image
            if spreads.ndim == 3:
                spreads = np.sqrt(np.square(spreads).mean(axis=2))
            top = float(np.nanmax(spreads)) or 1.0
            spread = _show(line[-1], replace(row.spread, image=spreads), "magma", (0.0, top))
            bar = figure.colorbar(spread, ax=line[-1], shrink=0.7)
            bar.set_label(f"standard deviation ({units})", **_LITERAL)
        line[0].set_ylabel(f"{shortened(row.title)}\n{row.length}", fontsize=9, **_LITERAL)
        for axis in line[len(row.panels) : shown]:
            axis.set_axis_off()
    _save(figure, path, notice)


def draw_gallery(path: Path, panels: Sequence[SheetImage], title: str, notice: str = SYNTHETIC) -> None:
    """Draw the panels to a PNG, each on the grey scale of its own finite values; in mm.

    Raises
    ------
    OutputError
        The file cannot be written.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    notice = plain_text(notice)
    columns = min(_COLUMNS, max(4, math.ceil(len(panels) ** 0.5)))
    rows = math.ceil(len(panels) / columns)
    figure = Figure(figsize=(_SMALL * columns, (_SMALL + 0.25) * rows + 0.7), layout="constrained")
    FigureCanvasAgg(figure)  # no window, no pyplot state
    figure.suptitle(f"{shortened(title)}\n{notice}", fontsize=10, **_LITERAL)
    for axis in (axes := figure.subplots(rows, columns, squeeze=False).ravel()):
        axis.set_axis_off()
    for axis, panel in zip(axes, panels, strict=False):
        seen = panel.image[np.isfinite(panel.image)]
        low, high = (float(seen.min()), float(np.percentile(seen, 99.8))) if seen.size else (0.0, 1.0)
        axis.imshow(panel.image, cmap="gray", vmin=low, vmax=high, aspect=panel.spacing[0] / panel.spacing[1])
        axis.set_title(shortened(panel.heading), fontsize=8, **_LITERAL)
    _save(figure, path, notice)


def _show(axis: Any, panel: SheetImage, colours: str, limits: tuple[float, float]) -> Any:
    height, width = panel.image.shape[:2]
    extent = (0, width * panel.spacing[1], height * panel.spacing[0], 0)  # mm; the edges of the pixels
    image = np.asarray(panel.image, np.float32)
    if image.ndim == 3:  # matplotlib scales no colours
        image = np.clip((image - limits[0]) / max(limits[1] - limits[0], 1e-30), 0, 1)
    picture = axis.imshow(image, cmap=colours, vmin=limits[0], vmax=limits[1], extent=extent)
    if panel.missing is not None:
        paint = np.zeros((height, width, 4))
        paint[panel.missing] = _MISSING
        axis.imshow(paint, extent=extent, interpolation="nearest")
    axis.set_title(shortened(panel.heading), fontsize=10, **_LITERAL)
    axis.tick_params(labelsize=7)
    return picture


def _save(figure: Any, path: Path, notice: str) -> None:
    encoded = io.BytesIO()
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Glyph .* missing", UserWarning)  # shown as a box
        figure.savefig(encoded, dpi=110, metadata={"Description": notice})
    write_encoded(path, encoded.getbuffer())
