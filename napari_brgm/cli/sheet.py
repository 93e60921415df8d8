"""Pictures as PNG: a sheet of original, corrupted, restored and standard deviation side by side, and a gallery.

Both in mm and the scan's units, under a notice that also stands in the file's description.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_brgm.cli.sheet_page import Page, grey_levels, spread_colours
from napari_brgm.text import plain_text, shortened

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    import numpy.typing as npt

__all__ = ["SYNTHETIC", "SheetImage", "SheetRow", "draw_gallery", "draw_sheet"]

SYNTHETIC = "synthetic: drawn by a generative model; not for diagnosis"
_WIDE = 280  # pixels of a panel
_LEFT, _BESIDE, _BAR = 96, 42, 130  # beside the first panel, between two, and for a colour bar with its values
_TITLES, _OVER, _UNDER = 64, 26, 34  # above all rows, above a row and below it
_SMALL = 190  # pixels of a picture of a gallery
_COLUMNS = 8  # of a gallery, at most
_NOTICE = "synthetic where restored, not for diagnosis"
_LETTERS = 15  # pixels that a heading is high


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
    units, notice = shortened(units, 40), plain_text(notice)
    shown = max(len(row.panels) for row in rows)
    last = rows[0].panels[-1]
    height, width = last.image.shape[:2]
    high = round(_WIDE * min(2.0, max(0.6, height * last.spacing[0] / (width * last.spacing[1]))))
    across = _LEFT + shown * (_WIDE + _BESIDE) + _BAR
    across += 0 if rows[0].spread is None else _WIDE + _BAR
    page = Page(across, _TITLES + len(rows) * (_OVER + high + _UNDER))
    _head(page, title, notice)
    for number, row in enumerate(rows):
        top = _TITLES + number * (_OVER + high + _UNDER) + _OVER
        for x, text in ((20, row.title), (40, row.length)):
            page.text((x, top + high / 2), shortened(text), 14, high, upwards=True)
        limits = _limits(row.panels[0].image)
        for column, panel in enumerate(row.panels):
            left = _LEFT + column * (_WIDE + _BESIDE)
            _show(page, panel, grey_levels(panel.image, limits), (left, top, left + _WIDE, top + high))
        left = _LEFT + len(row.panels) * (_WIDE + _BESIDE) - _BESIDE
        bar = _bar(left, top, high)
        page.bar(grey_levels(_scale(limits), limits), limits, bar, f"intensity ({units})")
        if row.spread is not None:
            spreads = row.spread.image
            if spreads.ndim == 3:
                spreads = np.sqrt(np.square(spreads).mean(axis=2))
            ends = 0.0, float(np.max(spreads, initial=0.0, where=np.isfinite(spreads))) or 1.0
            left = across - _WIDE - _BAR
            _show(page, row.spread, spread_colours(spreads, ends), (left, top, left + _WIDE, top + high))
            page.bar(
                spread_colours(_scale(ends), ends), ends, _bar(left + _WIDE, top, high),
                f"standard deviation ({units})",
            )  # fmt: skip
    page.save(path, notice)


def draw_gallery(path: Path, panels: Sequence[SheetImage], title: str, notice: str = SYNTHETIC) -> None:
    """Draw the panels to a PNG, each on the grey scale of its own finite values; in mm.

    Raises
    ------
    OutputError
        The file cannot be written.
    """
    notice = plain_text(notice)
    columns = min(_COLUMNS, max(4, math.ceil(len(panels) ** 0.5)))
    rows = math.ceil(len(panels) / columns)
    page = Page((_SMALL + 12) * columns + 12, _TITLES + rows * (_SMALL + _OVER))
    _head(page, title, notice)
    for number, panel in enumerate(panels):
        left, top = 12 + (_SMALL + 12) * (number % columns), _TITLES + _OVER + (_SMALL + _OVER) * (number // columns)
        box = left, top, left + _SMALL, top + _SMALL - 6
        _show(page, panel, grey_levels(panel.image, _limits(panel.image)), box, axes=False)
    page.save(path, notice)


def _head(page: Page, title: str, notice: str) -> None:
    middle, room = page.image.width / 2, page.image.width - 20
    page.text((middle, 18), shortened(title), 17, room)
    page.text((middle, 40), shortened(notice, 200), 17, room)


def _limits(image: npt.NDArray[Any]) -> tuple[float, float]:
    """What is black, and what is white; all of what is above the greatest of 500 values is."""
    seen = image[np.isfinite(image)]
    return (float(seen.min()), float(np.percentile(seen, 99.8))) if seen.size else (0.0, 1.0)


def _scale(limits: tuple[float, float]) -> npt.NDArray[Any]:
    return np.linspace(*limits, 256)[:, None]


def _bar(left: int, top: int, high: int) -> tuple[int, int, int, int]:
    return left + 16, top + round(0.15 * high), left + 28, top + round(0.85 * high)


def _show(
    page: Page, panel: SheetImage, colours: npt.NDArray[np.uint8], box: tuple[int, int, int, int], *, axes: bool = True
) -> None:  # fmt: skip
    left, top, right, _ = page.panel(colours, box, panel.spacing, panel.missing, axes=axes)
    page.text(((left + right) / 2, top - 12), shortened(panel.heading), _LETTERS, box[2] - box[0])
