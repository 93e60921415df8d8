"""Contact sheet: slices of each part of a split as the prior will see them, under a line that says what they are."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from PIL import Image, ImageDraw

from napari_brgm.errors import OutputError
from napari_brgm.reason import reason_of

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    import numpy.typing as npt

    from napari_brgm.datasets.slice_set import SliceSet

__all__ = ["write_contact_sheet"]

_SIDE, _COLUMNS, _ROWS = 112, 10, (3, 1)  # px of a slice; rows of the first part, and of the others
_LINE, _MARGIN = 18, 6
_INK, _GROUND = 230, 25


def write_contact_sheet(parts: Mapping[str, SliceSet], path: Path, lines: Sequence[str] = ()) -> None:
    """Write a PNG: lines of text, then each part with its name, its numbers and slices of evenly spread subjects.

    Raises
    ------
    OutputError
        The file cannot be written.
    """
    rows = [_ROWS[0] if number == 0 else _ROWS[1] for number in range(len(parts))]
    height = _LINE * (len(lines) + len(parts)) + sum(rows) * _SIDE + _MARGIN * (len(parts) + 2)
    sheet = Image.new("L", (_COLUMNS * _SIDE + 2 * _MARGIN, height), _GROUND)
    draw, y = ImageDraw.Draw(sheet), _MARGIN
    for line in lines:
        draw.text((_MARGIN, y), line.encode("ascii", "replace").decode(), fill=_INK)
        y += _LINE
    for (name, part), count in zip(parts.items(), rows, strict=True):
        text = f"{name}: {len(part)} slices of {len(part.subject_names)} subjects"
        draw.text((_MARGIN, y + _MARGIN // 2), text, fill=_INK)
        y += _LINE
        for k, index in enumerate(_picked(part, count * _COLUMNS)):
            tile = Image.fromarray(_grey(part, index)).resize((_SIDE, _SIDE), Image.Resampling.BILINEAR)
            sheet.paste(tile, (_MARGIN + k % _COLUMNS * _SIDE, y + k // _COLUMNS * _SIDE))
        y += count * _SIDE + _MARGIN
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        sheet.save(path, optimize=True)
    except OSError as error:
        raise OutputError(f"the contact sheet cannot be written to {path}: {reason_of(error)}") from error


def _picked(part: SliceSet, count: int) -> list[int]:
    """One slice of each of so many evenly spread subjects, or more of each: from their first to their last ones."""
    subjects = np.unique(part.subjects)
    count = min(count, len(part))
    chosen = subjects[np.arange(count) * len(subjects) // count]
    found = []
    for k, subject in enumerate(chosen.tolist()):
        own = np.flatnonzero(part.subjects == subject)
        found.append(int(own[(2 * k + 1) * len(own) // (2 * count)]))
    return found


def _grey(part: SliceSet, index: int) -> npt.NDArray[np.uint8]:
    levels: npt.NDArray[np.float64] = part.images[index].mean(axis=0) * (255 / part.white)  # colours as their mean
    return levels.clip(0, 255).astype(np.uint8)
