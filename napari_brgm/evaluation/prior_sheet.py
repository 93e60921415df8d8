"""The contact sheet of a prior: real slices beside samples at thumbnail size, then what it makes of held-out images."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from napari_brgm.evaluation.grid.bench import picture_of
from napari_brgm.evaluation.grid.images import HeldOutImages
from napari_brgm.evaluation.held_out import evenly_spaced
from napari_brgm.evaluation.prior_report import KINDS

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    import numpy.typing as npt

    from napari_brgm.evaluation.grid.catalogue import Setting
    from napari_brgm.evaluation.prior_report import PriorRow
    from napari_brgm.evaluation.tasks import Task

    Images = npt.NDArray[np.floating]

__all__ = ["prior_sheet"]

_COLUMNS = 8  # images
_THUMBNAIL = 128  # pixels
_GAP = 2
_LABEL = 150  # pixels of the column of titles
_THUMBNAIL_ROWS = 2  # of real images, and as many of samples
_TASKS = ("mask-0", "mask-3", "mask-6", "x4", "x8")


def prior_sheet(
    path: Path, setting: Setting, row: PriorRow, every: Images, samples: Images, tasks: Sequence[Task]
) -> None:
    """Write the sheet to a PNG.

    Parameters
    ----------
    path : Path
    setting : Setting
        Where the pictures of the rows are kept.
    row : PriorRow
    every, samples : (N, R, R) ndarray
        All validation images, and samples, in grey levels 0..255.
    tasks : sequence of Task
    """
    truth = HeldOutImages.read(setting.held, setting.data, setting.count)
    picked = evenly_spaced(len(truth), min(_COLUMNS, len(truth)))
    names = [truth.names[i] for i in picked]

    def pictures(kind: str, task: str) -> Images:
        by_name = {one.image: one for one in row.of(kind, task)}
        found = [picture_of(setting, by_name[name]) for name in names]
        return np.stack([image for image in found if image is not None])

    rows: list[tuple[str, Images]] = []
    for title, images in (("real, unseen", every), ("samples", samples)):
        some = images[evenly_spaced(len(images), min(_THUMBNAIL_ROWS * _COLUMNS, len(images)))]
        rows += [(title, some[i : i + _COLUMNS]) for i in range(0, len(some), _COLUMNS)]
    rows.append(("truth", truth.images[picked]))
    rows += [(f"{space.upper()} reconstruction", pictures(space, "whole")) for space in ("w+", "w")]
    for task in tasks:
        if task.name in _TASKS:
            rows.append((f"{task.title}: observed", task.observe(truth.images[picked])))
            rows += [(KINDS[kind], pictures(kind, task.name)) for kind in row.kinds]
            rows.append(("linear-Gaussian", pictures("linear", task.name)))
    _draw(path, rows)


def _draw(path: Path, rows: Sequence[tuple[str, Images]]) -> None:
    from PIL import Image, ImageDraw

    step = _THUMBNAIL + _GAP
    sheet = Image.new("L", (_LABEL + _COLUMNS * step, len(rows) * step), 32)
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
