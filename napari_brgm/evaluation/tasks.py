"""The ten tasks of the measuring stick: in-painting with seven masks, super-resolution by 2, 4 and 8."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch
import torch.nn.functional as F

from napari_brgm.corruptions import Downsample, Mask
from napari_brgm.evaluation.dataset import FRAME
from napari_brgm.evaluation.masks import MASK_NAMES, paper_mask

if TYPE_CHECKING:
    import numpy.typing as npt
    from torch import Tensor

    Images = npt.NDArray[np.float32]

__all__ = ["SPARSE", "TASKS", "Task", "tasks_of_size"]


@dataclass(frozen=True, slots=True, eq=False)
class Task:
    """One column of the table; what is observed is ``y = A x`` without noise.

    Attributes
    ----------
    name : str
        'mask-0' .. 'mask-6', 'x2', 'x4', 'x8'; names files too.
    title : str
        Head of the column.
    missing : (R, R) ndarray of bool, or None
        The hole of an in-painting.
    factor : int
        Of super-resolution by area averaging; 1 for in-painting.
    size : int
        R, side of the frame.
    """

    name: str
    title: str
    missing: npt.NDArray[np.bool_] | None = None
    factor: int = 1
    size: int = FRAME

    @property
    def region(self) -> npt.NDArray[np.bool_]:
        """Where the error is measured: the hole, or the whole image."""
        return np.ones((self.size, self.size), dtype=np.bool_) if self.missing is None else self.missing

    @property
    def corruption(self) -> Mask | Downsample:
        """A, as ``restore`` takes it."""
        return Downsample(self.factor) if self.missing is None else Mask(self.missing)

    def apply(self, images: Tensor) -> Tensor:
        """Apply A to (B, 1, H, W): zero in the hole, or (B, 1, H / f, W / f) block means."""
        if self.missing is None:
            return F.avg_pool2d(images, self.factor)
        return images * torch.from_numpy(~self.missing).to(images)

    def observe(self, truth: Images) -> Images:
        """Apply A to slices (N, H, W)."""
        observed: Images = self.apply(torch.from_numpy(truth)[:, None])[:, 0].numpy()
        return observed

    def finish(self, predictions: npt.NDArray[np.floating], observed: Images) -> Images:
        """Clip predictions (N, R, R) to 0..255 and put the measured pixels of an in-painting back."""
        clipped = np.clip(predictions, 0.0, 255.0).astype(np.float32)
        return clipped if self.missing is None else np.where(self.missing, clipped, observed)


def tasks_of_size(size: int) -> tuple[Task, ...]:
    """The ten tasks on a frame of ``size``, which divides 256 and is a multiple of 8.

    Raises
    ------
    InputError
        The masks do not fit such a frame.
    """
    holes = [Task(f"mask-{i}", f"{i} {name}", paper_mask(i, size), size=size) for i, name in enumerate(MASK_NAMES)]
    return (*holes, *(Task(f"x{factor}", f"x{factor}", factor=factor, size=size) for factor in (2, 4, 8)))


TASKS: tuple[Task, ...] = tasks_of_size(FRAME)

# 95 % of the pixels missing at random (LCM Sec. 4)
SPARSE = Task("missing-95", "95 % missing", Mask.random((FRAME, FRAME), 0.95, seed=0).missing.numpy())
