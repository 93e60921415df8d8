"""Sample sheet of a finish: real slices, draws before it, and the same finished; free ones, then in holes."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from PIL import Image

from napari_brgm.errors import OutputError
from napari_brgm.likelihood import to_grey
from napari_brgm.reason import reason_of

if TYPE_CHECKING:
    from pathlib import Path

    from napari_brgm.training.finish import FinishTraining
    from napari_brgm.training.finish_inputs import FinishInputs

__all__ = ["FinishSheet"]

_COLUMNS = 8


class FinishSheet:
    """The same images each time, so that sheets can be compared.

    Parameters
    ----------
    inputs : FinishInputs
        Its generators go on by what is drawn here.
    """

    def __init__(self, inputs: FinishInputs) -> None:
        self.free = inputs.draws(_COLUMNS)
        self.beside = inputs.real(_COLUMNS)
        self.inside, self.hole, self.seen = inputs.in_holes(_COLUMNS)

    def write(self, training: FinishTraining, path: Path) -> None:
        """Write rows real, draw, finished; then slice, posterior draw in its hole, finished.

        Raises
        ------
        OutputError
            The picture cannot be written.
        """
        x, hole = torch.cat([self.free, self.inside]), torch.cat([torch.ones_like(self.free), self.hole])
        free, inside = torch.split(training.finished(x, hole), _COLUMNS)
        inside = self.hole * inside + (1 - self.hole) * self.seen
        rows = [self.beside, self.free, free, self.seen, self.inside, inside]
        sheet = torch.cat([torch.cat(list(to_grey(row)[:, 0]), dim=1) for row in rows]).clamp(0, 255)
        try:
            Image.fromarray(sheet.round().byte().cpu().numpy()).save(path, optimize=True)
        except OSError as error:
            raise OutputError(f"the sample sheet cannot be written to {path}: {reason_of(error)}") from error
