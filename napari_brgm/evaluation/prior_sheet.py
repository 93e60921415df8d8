"""The contact sheet of a prior: real slices beside samples at thumbnail size, then what it makes of held-out images."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from napari_brgm.evaluation.held_out import evenly_spaced
from napari_brgm.evaluation.prior_cells import SHEET_IMAGES, shown

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    import numpy.typing as npt

    from napari_brgm.evaluation.cache import Cell
    from napari_brgm.evaluation.tasks import Task

    Images = npt.NDArray[np.floating]

__all__ = ["prior_sheet"]

_THUMBNAIL = 128  # pixels
_GAP = 2
_LABEL = 150  # pixels of the column of titles
_THUMBNAIL_ROWS = 2  # of real images, and as many of samples
_TASKS = ("mask-0", "mask-3", "mask-6", "x4", "x8")
_TITLES = {"mean": "posterior mean", "map": "MAP image", "draw": "one draw"}


def prior_sheet(
    path: Path,
    truth: Images,
    every: Images,
    samples: Images,
    tasks: Sequence[Task],
    reconstructed: Mapping[str, Cell],
    restored: Mapping[str, Mapping[str, Cell]],
    linear: Mapping[str, Cell],
) -> None:
    """Write the sheet to a PNG.

    Parameters
    ----------
    path : Path
    truth, every, samples : (N, R, R) ndarray
        Held-out images, all validation images, and samples, in grey levels 0..255.
    tasks : sequence of Task
    reconstructed : dict
        Cells by space.
    restored : dict
        Cells by kind and task.
    linear : dict
        The rival's cells by task.
    """
    count = _THUMBNAIL_ROWS * SHEET_IMAGES
    picked = truth[shown(len(truth))]
    rows: list[tuple[str, Images]] = []
    for title, images in (("real, unseen", every), ("samples", samples)):
        some = images[evenly_spaced(len(images), min(count, len(images)))]
        rows += [(title, some[i : i + SHEET_IMAGES]) for i in range(0, len(some), SHEET_IMAGES)]
    rows.append(("truth", picked))
    rows += [(f"{space.upper()} reconstruction", cell.pictures) for space, cell in reconstructed.items()]
    for task in tasks:
        if task.name in _TASKS:
            rows.append((f"{task.title}: observed", task.observe(picked)))
            rows += [(_TITLES[kind], cells[task.name].pictures) for kind, cells in restored.items()]
            rows.append(("linear-Gaussian", linear[task.name].pictures))
    _draw(path, rows)


def _draw(path: Path, rows: Sequence[tuple[str, Images]]) -> None:
    from PIL import Image, ImageDraw

    step = _THUMBNAIL + _GAP
    sheet = Image.new("L", (_LABEL + SHEET_IMAGES * step, len(rows) * step), 32)
    pen = ImageDraw.Draw(sheet)
    for row, (title, images) in enumerate(rows):
        pen.text((6, row * step + _THUMBNAIL // 2), title, fill=255)
        for column, image in enumerate(images):
            pixels = Image.fromarray(np.clip(np.round(image), 0, 255).astype(np.uint8))
            wide = image.shape[-1] >= _THUMBNAIL
            small = pixels.resize(
                (_THUMBNAIL, _THUMBNAIL), Image.Resampling.LANCZOS if wide else Image.Resampling.NEAREST
            )
            sheet.paste(small, (_LABEL + column * step, row * step))
    sheet.save(path)
