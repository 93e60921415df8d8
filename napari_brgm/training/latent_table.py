"""Latent table: the latents of every training image, on disk and mapped into memory, with their own Adam.

There are as many latents as images times parameters (5,000 x 24,000: half a gigabyte), of which a step touches a batch.
Values and both moments are plain .npy files; only the rows of a batch are read and written.

Source: Adam of each row by itself, counted by how often the row was seen (Kingma and Ba, arXiv 1412.6980, Algorithm 1).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from napari_brgm.errors import InputError, OutputError
from napari_brgm.reason import reason_of

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["LatentTable"]

_BETAS = (0.8, 0.95)  # a row is seen a few dozen times, so the moments must be quick


class LatentTable:
    """Latents (N, P) of N images.

    Parameters
    ----------
    folder : Path
        Where the files lie; made if missing.
    start : (P,) Tensor
        Latents of every image of a new table.
    rows : int
        N.
    new : bool
        Write a new table over what is there; else open what is there.

    Raises
    ------
    OutputError
        The files cannot be written.
    InputError
        The files are missing or of another shape.
    """

    def __init__(self, folder: Path, start: Tensor, rows: int, new: bool) -> None:
        shape = (rows, len(start))
        paths = [folder / f"latents-{name}.npy" for name in ("values", "first", "second")]
        try:
            folder.mkdir(parents=True, exist_ok=True)
            self._maps = [
                np.lib.format.open_memmap(
                    path, mode="w+" if new else "r+", dtype=np.float32, shape=shape if new else None
                )  # type: ignore[no-untyped-call]
                for path in paths
            ]
            if new:
                for begin in range(0, rows, 256):
                    self._maps[0][begin : begin + 256] = start.numpy()
        except FileNotFoundError as error:
            raise InputError(
                f"{folder} holds no latents of the images; copy them too, or choose another folder"
            ) from error
        except ValueError as error:
            raise InputError(
                f"the latents in {folder} cannot be read: {reason_of(error)}; choose another folder"
            ) from error
        except OSError as error:
            raise OutputError(f"cannot write the latents into {folder}: {reason_of(error)}; choose another") from error
        if any(m.shape != shape or m.dtype != np.float32 for m in self._maps):
            raise InputError(f"the latents in {folder} are of other slices; choose another folder, or the same slices")

    @property
    def values(self) -> Tensor:
        """All latents (N, P), without a copy."""
        return torch.from_numpy(self._maps[0])

    def take(self, index: Tensor) -> Tensor:
        """Latents (B, P) of a batch."""
        return torch.from_numpy(self._maps[0][index.numpy()])

    def step(self, index: Tensor, gradient: Tensor, rate: float, seen: int) -> Tensor:
        """Latents (B, P) after an Adam step of rows that were ``seen`` so often before; for ``put``."""
        rows = index.numpy()
        first, second = (torch.from_numpy(m[rows]) for m in self._maps[1:])
        first.lerp_(gradient, 1 - _BETAS[0])
        second.lerp_(gradient.square(), 1 - _BETAS[1])
        self._maps[1][rows], self._maps[2][rows] = first.numpy(), second.numpy()
        mean, power = (m / (1 - b ** (seen + 1)) for m, b in zip((first, second), _BETAS, strict=True))
        return self.take(index) - rate * mean / (power.sqrt() + 1e-8)

    def put(self, index: Tensor, latents: Tensor) -> None:
        """Replace the latents of a batch."""
        self._maps[0][index.numpy()] = latents.numpy()

    def flush(self) -> None:
        """Bring everything to the disk."""
        for m in self._maps:
            m.flush()
