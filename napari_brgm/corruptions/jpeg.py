"""Jpeg: lossy compression, restored by a plain quadratic likelihood, as in the LCM paper's figure (arXiv 1806.06284).

    y = x + n,   n ~ N(0, sigma^2),   sigma of the compression and not of a camera

In inference f is the identity; rounding of the cosine coefficients, which has no useful gradient, becomes noise.

    uniform   sigma^2 = (mean_i q_i^2 + 1) / 12 over the 64 steps q_i: errors uniform in +-q_i / 2, an orthonormal
              transform, and the rounding of the pixels themselves
    measured  less, sigma being 0.16 of that at Q = 10: most coefficients are much nearer to 0 than q_i / 2

Source: ITU-T T.81 (1992), Annex K.1 (the table of steps); Independent JPEG Group, jcparam.c, jpeg_quality_scaling (the
rule of quality); A. Nosratinia, "Enhancement of JPEG-compressed images by re-application of JPEG", J. VLSI Signal
Processing 27, 2001, doi:10.1023/A:1008167430544 (shifted compression).
"""

from __future__ import annotations

import io
import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_brgm.corruptions.compose import Identity
from napari_brgm.errors import InputError

if TYPE_CHECKING:
    import numpy.typing as npt

    Plane = npt.NDArray[np.float32]

__all__ = ["Jpeg"]

_LUMINANCE = np.array([
    16, 11, 10, 16, 24, 40, 51, 61, 12, 12, 14, 19, 26, 58, 60, 55, 14, 13, 16, 24, 40, 57, 69, 56,
    14, 17, 22, 29, 51, 87, 80, 62, 18, 22, 37, 56, 68, 109, 103, 77, 24, 35, 55, 64, 81, 104, 113, 92,
    49, 64, 78, 87, 103, 121, 120, 101, 72, 92, 95, 98, 112, 100, 103, 99,
])  # fmt: skip
# (quality, RMS error in grey levels): 53 brain slices of the training set at 1.5 mm, every 97th
_MEASURED = (
    (1, 20.26), (5, 14.80), (10, 9.60), (15, 7.88), (20, 6.76), (30, 5.57), (40, 4.94), (50, 4.43), (60, 4.01),
    (70, 3.56), (80, 2.89), (90, 1.95), (95, 1.23), (100, 0.32),
)  # fmt: skip
_SHIFTS = ((4, 4), (2, 5))  # of the block grid; two, since the image may be a crop whose grid one of them meets


@dataclass(frozen=True, slots=True)
class Jpeg(Identity):
    """The identity with the noise of JPEG compression; A^+ shrinks only.

    Parameters
    ----------
    quality : int
        1 (worst) to 100, as Pillow and the Independent JPEG Group count it.

    Raises
    ------
    InputError
        ``quality`` is not a whole number from 1 to 100.

    Examples
    --------
    >>> Jpeg(10).noise_sigma, round(Jpeg(10).uniform_sigma, 1)
    (9.6, 61.0)
    >>> stripes = np.tile(np.float32([0, 60, 200, 90, 30]), (16, 8))
    >>> bool(np.abs(Jpeg(10).compress(stripes) - stripes).max() > 10)
    True
    """

    quality: int

    def __post_init__(self) -> None:
        whole = isinstance(self.quality, int | np.integer) and not isinstance(self.quality, bool)
        if not whole or not 1 <= self.quality <= 100:
            raise InputError(f"the quality of a JPEG is a whole number from 1 to 100, got {self.quality!r}")

    @property
    def adds_noise(self) -> bool:
        return True

    @property
    def steps(self) -> npt.NDArray[np.int64]:
        """(64,) quantisation steps q_i of the cosine coefficients, grey levels, row by row."""
        scale = 5000 // self.quality if self.quality < 50 else 200 - 2 * self.quality  # per cent
        scaled: npt.NDArray[np.int64] = np.clip((_LUMINANCE * scale + 50) // 100, 1, 255)
        return scaled

    @property
    def uniform_sigma(self) -> float:
        """RMS error in grey levels 0..255 were every coefficient's error uniform: far too much for most images."""
        return math.sqrt((float(np.square(self.steps).mean()) + 1) / 12)

    @property
    def noise_sigma(self) -> float:
        """Usual RMS error in grey levels 0..255: measured on brain slices, between the qualities by interpolation.

        A single slice was within a tenth of it. Smoother images lose less: see ``noise_in``.
        """
        qualities, errors = np.array(_MEASURED).T
        return float(np.interp(self.quality, qualities, errors))

    def noise_in(self, observation: npt.NDArray[Any]) -> float:
        """RMS error of this compressed image (H, W), in grey levels 0..255 as it is.

        It is compressed again with its blocks shifted, and that error is taken for the first one: on 13 brain slices
        and 13 chest X-rays 0.91 to 1.11 of the true one, at qualities of 5 to 80. Noise that the file has lost
        is not seen again: where there was much, it is up to 40 % too little.
        """
        errors = [self.noise_sigma / 2]  # never quite without: a small or flat image may happen to fit its file
        for row, column in _SHIFTS:
            part = np.clip(np.asarray(observation, np.float32)[row:, column:], 0, 255)
            if part.size:
                errors.append(float(np.sqrt(np.square(self.compress(part) - part).mean())))
        return max(errors)

    def compress(self, image: npt.ArrayLike, low: float = 0.0, high: float = 255.0) -> Plane:
        """Compress an image and read it back, for demonstration and evaluation.

        Parameters
        ----------
        image : (H, W) array-like
            In any units.
        low, high : float
            What become grey levels 0 and 255 of the 8-bit file; values beyond are clipped.

        Returns
        -------
        (H, W) ndarray, float32
            In the units of ``image``.

        Raises
        ------
        InputError
            The image is not one plane of finite numbers, or ``high`` is not above ``low``.
        """
        from PIL import Image

        values = np.asarray(image, dtype=np.float64)
        if values.ndim != 2 or 0 in values.shape or not np.isfinite(values).all():
            raise InputError(f"compress takes one plane (H, W) of finite numbers, got the shape {values.shape}")
        if not (math.isfinite(low) and math.isfinite(high) and high > low):
            raise InputError(f"the window of a JPEG must be finite with low below high, got {low} and {high}")
        grey = np.clip((values - low) * (255 / (high - low)), 0, 255).round().astype(np.uint8)
        file = io.BytesIO()
        Image.fromarray(grey).save(file, "JPEG", quality=self.quality)
        with Image.open(file) as read:
            return np.asarray(read, dtype=np.float32) * np.float32((high - low) / 255) + np.float32(low)

    def describe(self) -> dict[str, Any]:
        return {"name": "Jpeg", "quality": int(self.quality)}
