"""Settings of the latent convolutional recipe."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

from napari_brgm.errors import InputError

__all__ = ["LatentKind", "LcmSettings", "lcm_settings"]

LatentKind = Literal["convolutional", "free", "vector", "encoder"]
_RATES: dict[LatentKind, float] = {"convolutional": 1e-3, "free": 2e-2, "vector": 5e-3, "encoder": 0.0}
_SIDE = 32  # of the latent map
_LARGEST: dict[LatentKind, int] = {"free": _SIDE, "vector": 1 << 14, "encoder": 1 << 14}
_SIZES = (
    "latent_size goes with free latents (side of the map, 1 to 32), and with vector and encoder (length, 1 to 16384)"
)


@dataclass(frozen=True, slots=True)
class LcmSettings:
    """Settings of ``train_lcm``; the defaults suit 128 px on a CPU.

    Raises
    ------
    InputError
        A value is out of range, or two do not fit together.
    """

    latents: LatentKind = (
        "convolutional"  # of an image: weights of its ConvNet; the map (OptZ); a vector (GLO); encoded
    )
    trunk: tuple[int, ...] = (32, 64, 96, 128)  # channels of the hourglass at 32 px, 16 px, ...
    fine: tuple[int, ...] = (16, 6)  # at 64 px, 128 px, ...
    latent_size: int | None = None  # length of a vector, 256; side of a free map, 32; None: these
    encoder_widths: tuple[int, ...] = (12, 24, 48, 64, 96)  # of the autoencoder, as in priors/encoder.py
    components: int = 256  # principal components of the latents, in which restorations are sought
    images: int = 120_000  # length of the training, in slices shown
    batch: int = 16
    learning_rate: float = 2e-3  # of the shared network, at the peak; warm-up, constant, linear to zero
    latent_rate: float | None = None  # of the latents of an image, in their own unit; None: 1e-3 for weights in +-0.01
    warmup_images: int = 3_000
    falling: float = 0.3  # share of the training in which the rates fall
    pyramid_levels: int = 4
    every: int = 1  # use one of so many slices, in their order: neighbours in a volume are alike
    report_images: int = 4_096
    save_seconds: float = 300.0
    seed: int = 0

    def __post_init__(self) -> None:
        if self.latents not in _RATES:
            raise InputError(f"latents must be one of {', '.join(_RATES)}, got {self.latents!r}")
        if self.latent_size is not None and (
            self.latents == "convolutional" or not 1 <= self.latent_size <= _LARGEST[self.latents]
        ):
            raise InputError(_SIZES)
        whole = ("components", "images", "batch", "every", "report_images")
        for name in whole:
            if getattr(self, name) < 1:
                raise InputError(f"{name} must be 1 or more, got {getattr(self, name)}")
        if not 2 <= len(self.trunk) <= 6 or min((*self.trunk, *self.fine)) < 1:
            raise InputError("trunk must hold 2 to 6 numbers of channels, and all of trunk and fine be 1 or more")
        rates = [self.learning_rate, *([] if self.latent_rate is None else [self.latent_rate])]
        if not all(0 < rate < math.inf for rate in rates) or not 0 <= self.falling <= 1:
            raise InputError("learning_rate and latent_rate must be above 0, falling between 0 and 1")
        if min(self.warmup_images, self.pyramid_levels) < 0:
            raise InputError("warmup_images and pyramid_levels must be 0 or more")

    @property
    def resolution(self) -> int:
        """Side of the slices, pixels."""
        return _SIDE << len(self.fine)

    @property
    def rate_of_latents(self) -> float:
        """Learning rate of the latents; 0 where an encoder makes them."""
        return _RATES[self.latents] if self.latent_rate is None else self.latent_rate


def lcm_settings(resolution: int) -> LcmSettings:
    """Recipe for slices of 64, 128, 256 or 512 px.

    Raises
    ------
    InputError
        There is none for this resolution.
    """
    fine = {64: (16,), 128: (16, 6), 256: (16, 8, 4), 512: (16, 8, 6, 4)}
    if resolution not in fine:
        raise InputError(f"the lcm recipe takes a resolution of 64, 128, 256 or 512 pixels, got {resolution}")
    return LcmSettings(fine=fine[resolution])
