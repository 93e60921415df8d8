"""Settings of the autoencoder recipe."""

from __future__ import annotations

import math
from dataclasses import dataclass
from itertools import pairwise

from napari_brgm.errors import InputError

__all__ = ["AutoencoderSettings", "autoencoder_settings"]


@dataclass(frozen=True, slots=True)
class AutoencoderSettings:
    """Settings of ``train_autoencoder``; the defaults suit 128 px on a CPU.

    Raises
    ------
    InputError
        A value is out of range, or two do not fit together.
    """

    widths: tuple[tuple[int, int], ...] = ((32, 128), (64, 48), (128, 16))  # (resolution, channels)
    latents: int = 256  # size of w
    encoder_widths: tuple[int, ...] = (12, 24, 48, 64, 96)  # channels of its stages; each but the first halves the size
    direct: int = 32  # side of the pooled slices whose principal components the latents start as
    images: int = 200_000  # length of the training, in slices shown
    batch: int = 16
    learning_rate: float = 2e-3  # at the peak; cosine to zero after a linear warm-up
    encoder_rate: float = 0.25  # of that, for the encoder
    warmup_images: int = 1_000
    kl_weight: float = 1e-3  # grey levels a nat
    pyramid_levels: int = 4
    gain: float = 0.12  # slices are scaled by 1 +- this much (brightness differs between scans)
    mirror: bool = False  # left and right may be exchanged: reflections count as slices
    ema_images: float = 5_000.0  # half-life of the averaged weights
    half_from: int = 16  # on CUDA, blocks of this resolution and above run in bfloat16
    report_images: int = 2_048
    save_seconds: float = 120.0
    seed: int = 0

    def __post_init__(self) -> None:
        sides = [r for r, _ in self.widths]
        if not sides or sides[0] < 4 or any(b != 2 * a for a, b in pairwise(sides)):
            raise InputError(f"the resolutions in widths must double from 4 or more on, got {sides}")
        whole = ("latents", "direct", "images", "batch", "report_images")
        for name in whole:
            if getattr(self, name) < 1:
                raise InputError(f"{name} must be 1 or more, got {getattr(self, name)}")
        if min(width for _, width in self.widths) < 1 or not self.encoder_widths or min(self.encoder_widths) < 1:
            raise InputError("widths and encoder_widths must be 1 or more")
        if self.resolution % self.direct or self.direct < sides[0]:
            raise InputError(
                f"direct must divide {self.resolution} px and be at least {sides[0]} px, where the network begins; "
                f"got {self.direct}"
            )
        if self.resolution >> (len(self.encoder_widths) - 1) < 1:
            raise InputError(f"{len(self.encoder_widths)} encoder stages are too many for {self.resolution} px")
        positive = (self.learning_rate, self.ema_images)
        if not all(0 < value < math.inf for value in positive) or not 0 <= self.gain < 1:
            raise InputError("learning_rate and ema_images must be above 0, gain from 0 to below 1")
        if min(self.encoder_rate, self.kl_weight, self.warmup_images, self.pyramid_levels) < 0:
            raise InputError("encoder_rate, kl_weight, warmup_images and pyramid_levels must be 0 or more")

    @property
    def resolution(self) -> int:
        """Side of the slices, pixels."""
        return self.widths[-1][0]


def autoencoder_settings(resolution: int, *, warm_start: bool = False, mirror: bool = False) -> AutoencoderSettings:
    """Recipe for slices of 128 or 256 px.

    Parameters
    ----------
    resolution : int
    warm_start : bool
        The network of the ``gan`` recipe's defaults (from 4 px, 512 latents), for minutes on a GPU; else one that a CPU
        can train: narrow, from 32 px, where the linear start already draws the coarse image.
    mirror : bool
        Left and right may be exchanged.

    Raises
    ------
    InputError
        There is no recipe for this resolution.
    """
    if resolution not in (128, 256):
        raise InputError(f"there is a recipe for 128 and 256 px, not for {resolution}; give settings of your own")
    if warm_start:
        sides = [4 * 2**i for i in range((resolution // 4).bit_length())]
        return AutoencoderSettings(
            widths=tuple((r, min(8192 // r, 256)) for r in sides), latents=512,
            encoder_widths=(16, 32, 64, 96, 128, 160)[: 5 if resolution == 128 else 6],
            images=500_000, batch=64, ema_images=10_000.0, report_images=16_384, mirror=mirror,
        )  # fmt: skip
    if resolution == 128:
        return AutoencoderSettings(mirror=mirror)
    return AutoencoderSettings(
        widths=((32, 128), (64, 48), (128, 16), (256, 8)), encoder_widths=(8, 12, 24, 48, 64, 96),
        mirror=mirror,
    )  # fmt: skip
