"""Interpolation: a low-resolution slice is enlarged by a fixed kernel, which knows nothing of images.

    x = U y,    then ``rounds`` times  x <- x + U (y - A x)      back-projection: A x tends to y

Pixels are little squares and their outer edges coincide: the centre of fine pixel i is (i + 0.5) / f - 0.5 in coarse
ones.

Sources: R. Keys, "Cubic convolution interpolation for digital image processing", IEEE Trans. ASSP 29, 1981,
doi:10.1109/TASSP.1981.1163711 (bicubic; a = -0.75 as in OpenCV and torch); C. Duchon, "Lanczos filtering in one and two
dimensions", J. Appl. Meteorology 18, 1979 (three lobes, as in Pillow); M. Irani and S. Peleg, "Improving resolution by
image registration", CVGIP 53, 1991, doi:10.1016/1049-9652(91)90045-L (back-projection).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Literal

import numpy as np
import torch
import torch.nn.functional as F

from napari_brgm.evaluation.back_projection import ROUNDS
from napari_brgm.evaluation.method import Restored

if TYPE_CHECKING:
    from napari_brgm.evaluation.method import Image, MethodFamily
    from napari_brgm.evaluation.tasks import Task

    Kernel = Literal["nearest", "bilinear", "bicubic", "lanczos"]

__all__ = ["INTERPOLATIONS", "Enlargement", "block_means"]


@dataclass(frozen=True, slots=True)
class Enlargement:
    """Enlargement by a kernel, with or without back-projection.

    Parameters
    ----------
    kernel : {'nearest', 'bilinear', 'bicubic', 'lanczos'}
    rounds : int
        Of back-projection; 0: none.
    """

    kernel: Kernel
    rounds: int = 0

    family: ClassVar[MethodFamily] = "training-free"

    @property
    def name(self) -> str:
        return f"{self.kernel}-hard" if self.rounds else self.kernel

    @property
    def title(self) -> str:
        word = {"nearest": "nearest neighbour", "lanczos": "Lanczos, 3 lobes"}.get(self.kernel, self.kernel)
        return f"{word} with back-projection" if self.rounds else word

    def fingerprint(self) -> dict[str, Any]:
        return {"kernel": self.kernel, "rounds": self.rounds}

    def solves(self, task: Task) -> bool:
        return task.kind == "low-res"

    def prepare(self) -> None:
        """Nothing is learned."""

    def restore(self, observed: Image, task: Task, seed: int) -> Restored:
        """Enlarge (R / f, R / f); nothing is random."""
        x = self.enlarged(observed, task.factor)
        for _ in range(self.rounds):
            x = x + self.enlarged(observed - block_means(x, task.factor), task.factor)
        return Restored(x)

    def enlarged(self, coarse: Image, factor: int) -> Image:
        """U y: (h f, w f) of (h, w)."""
        if self.kernel == "lanczos":
            from PIL import Image as Pictures

            picture = Pictures.fromarray(np.asarray(coarse, dtype=np.float32))
            size = (coarse.shape[1] * factor, coarse.shape[0] * factor)
            return np.asarray(picture.resize(size, Pictures.Resampling.LANCZOS), dtype=np.float64)
        given = torch.from_numpy(np.asarray(coarse, dtype=np.float64))[None, None]
        smooth = {} if self.kernel == "nearest" else {"align_corners": False}
        fine = F.interpolate(given, scale_factor=float(factor), mode=self.kernel, **smooth)
        found: Image = fine[0, 0].numpy()
        return found


def block_means(image: Image, factor: int) -> Image:
    """A x of super-resolution: means (H / f, W / f) of blocks of f x f pixels."""
    height, width = image.shape
    means: Image = image.reshape(height // factor, factor, width // factor, factor).mean(axis=(1, 3))
    return means


INTERPOLATIONS: tuple[Enlargement, ...] = (
    Enlargement("nearest"),
    Enlargement("bilinear"),
    Enlargement("bicubic"),
    Enlargement("lanczos"),
    Enlargement("bilinear", ROUNDS),
    Enlargement("bicubic", ROUNDS),
    Enlargement("lanczos", ROUNDS),
)
