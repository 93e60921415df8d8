"""What is hidden of a held-out slice: the tasks of the measuring stick, and the others of the grid.

The measuring stick: in-painting with the paper's seven masks, super-resolution by 2, 4 and 8. The grid adds brush
strokes, 95 % of the pixels missing and JPEG compression (LCM Sec. 4).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np
import torch
import torch.nn.functional as F

from napari_brgm.corruptions import Downsample, Jpeg, Mask
from napari_brgm.evaluation.masks import MASK_NAMES, brush_strokes, paper_mask

if TYPE_CHECKING:
    import numpy.typing as npt
    from torch import Tensor

    Images = npt.NDArray[np.float32]

__all__ = ["TASKS", "Task", "TaskKind", "grid_tasks", "tasks_of_size"]

_FRAME = 128  # of the measuring stick
_LEAST_FOR_16 = 256  # x16 from 16 x 16 pixels
TaskKind = Literal["hole", "low-res", "jpeg", "whole"]


@dataclass(frozen=True, slots=True, eq=False)
class Task:
    """One column of the table; what is observed is ``y = A x`` without noise, or what JPEG leaves of x.

    Attributes
    ----------
    name : str
        'mask-0' .. 'mask-6', 'strokes', 'missing-95', 'x2', 'x4', 'x8', 'x16', 'jpeg-10', 'whole'; names files too.
    title : str
        Head of the column.
    missing : (R, R) ndarray of bool, or None
        The hole of an in-painting.
    factor : int
        Of super-resolution by area averaging; 1 for the others.
    size : int
        R, side of the frame.
    quality : int or None
        Of JPEG compression.
    """

    name: str
    title: str
    missing: npt.NDArray[np.bool_] | None = None
    factor: int = 1
    size: int = _FRAME
    quality: int | None = None

    @property
    def kind(self) -> TaskKind:
        if self.missing is not None:
            return "hole"
        return "jpeg" if self.quality is not None else "low-res" if self.factor > 1 else "whole"

    @property
    def region(self) -> npt.NDArray[np.bool_]:
        """Where the error is measured: the hole, or the whole image."""
        return np.ones((self.size, self.size), dtype=np.bool_) if self.missing is None else self.missing

    @property
    def corruption(self) -> Mask | Downsample | Jpeg:
        """A, as ``restore`` takes it."""
        if self.quality is not None:
            return Jpeg(self.quality)
        return Downsample(self.factor) if self.missing is None else Mask(self.missing)

    def apply(self, images: Tensor) -> Tensor:
        """Apply A to (B, 1, H, W): zero in the hole, or (B, 1, H / f, W / f) block means; JPEG: the identity."""
        if self.quality is not None:
            return images
        if self.missing is None:
            return F.avg_pool2d(images, self.factor) if self.factor > 1 else images
        return images * torch.from_numpy(~self.missing).to(images)

    def observe(self, truth: Images) -> Images:
        """What is observed of slices (N, H, W)."""
        if self.quality is not None:
            return np.stack([Jpeg(self.quality).compress(image) for image in truth]).astype(np.float32)
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


def grid_tasks(size: int) -> tuple[Task, ...]:
    """All tasks of the grid: those of the measuring stick, strokes, 95 % missing, JPEG, and x16 on a frame of 256.

    The last one hides nothing: how near a prior comes to a slice that it sees wholly.

    Raises
    ------
    InputError
        As of ``tasks_of_size``.
    """
    *holes, x2, x4, x8 = tasks_of_size(size)
    strokes = Task("strokes", "strokes", brush_strokes((size, size), seed=0), size=size)
    sparse = Task("missing-95", "95 % missing", Mask.random((size, size), 0.95, seed=0).missing.numpy(), size=size)
    x16 = (Task("x16", "x16", factor=16, size=size),) if size >= _LEAST_FOR_16 else ()
    jpeg = Task("jpeg-10", "JPEG 10", size=size, quality=10)
    return (*holes, strokes, sparse, x2, x4, x8, *x16, jpeg, Task("whole", "reconstruction", size=size))


TASKS: tuple[Task, ...] = tasks_of_size(_FRAME)
