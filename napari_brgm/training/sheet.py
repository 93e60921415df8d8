"""Sample sheet: what a prior draws, for its model card."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import torch
from PIL import Image

from napari_brgm.likelihood import to_grey

if TYPE_CHECKING:
    from pathlib import Path

    from napari_brgm.priors.prior import Prior

__all__ = ["sample_sheet"]


def sample_sheet(prior: Prior, path: Path, rows: int = 4, columns: int = 8) -> None:
    """Write a picture of draws: upper half G(w), lower half the same with a draw of what G cannot draw."""
    generator = torch.Generator().manual_seed(0)
    grey = to_grey(prior.sample(rows * columns // 2, seed=0))
    field = prior.parts.residual
    textured = grey if field is None else grey + field.sample(len(grey), generator)
    tiles = torch.cat([grey, textured]).clamp(0, 255)[:, 0].byte().numpy()  # (rows * columns, R, R)
    side = prior.resolution
    sheet = tiles.reshape(rows, columns, side, side).transpose(0, 2, 1, 3).reshape(rows * side, columns * side)
    Image.fromarray(np.ascontiguousarray(sheet)).save(path, optimize=True)
