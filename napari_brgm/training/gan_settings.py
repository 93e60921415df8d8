"""Settings of the adversarial training."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from napari_brgm.errors import InputError
from napari_brgm.training.augment import AugmentSettings

__all__ = ["GanSettings"]


@dataclass(frozen=True, slots=True)
class GanSettings:
    """Settings of ``train_gan``; the defaults suit 128 px on one large GPU.

    Raises
    ------
    InputError
        A value is out of range.
    """

    channel_base: int = 8192  # channels at resolution r are channel_base / r, at most channel_max
    channel_max: int = 256
    latent: int = 512  # size of z and of w
    mapping_layers: int = 2
    images: int = 1_000_000  # length of the training, in real images shown
    batch: int = 64
    learning_rate: float = 2.5e-3  # of generator and discriminator
    beta2: float = 0.99  # of Adam, whose beta1 is 0
    r1_gamma: float | None = None  # None: 0.0002 pixels / batch (arXiv 2006.06676, App. C): 0.05 at 128 px
    r1_every: int = 16  # steps
    path_weight: float = 2.0  # of the path length penalty; 0: none
    path_every: int = 4  # steps
    path_share: float = 0.5  # of a batch that it is computed on
    path_decay: float = 0.01  # of the running mean of path lengths
    mixing: float = 0.9  # probability that an image is made of two latents
    noise: bool = False  # fresh noise in every convolution; restoration leaves it out, so images are then smoother
    ema_images: float = 10_000.0  # half-life of the averaged weights
    group: int = 4  # samples of the minibatch deviation; divides the batch
    mirror: bool = False  # left and right may be exchanged: reflections count as slices
    augment: AugmentSettings = field(default_factory=AugmentSettings)
    ada_target: float = 0.6  # of E[sign D(real)]
    ada_every: int = 4  # steps
    ada_images: int = 100_000  # the probability of augmentation can go from 0 to 1 in so many images
    ada_most: float = 0.8  # largest probability of augmentation; 0: no augmentation
    precision: Literal["auto", "float32", "bfloat16"] = "auto"  # auto: bfloat16 on CUDA, float32 elsewhere
    half_from: int = 16  # blocks of this resolution and above run in that precision, smaller ones in float32
    compiled: bool = False  # torch.compile the two networks: minutes at the start of every run
    compact: bool = False  # checkpoints of 40 % of the size (see gan_state.py); resuming is then not exact
    report_steps: int = 64
    save_seconds: float = 120.0
    evaluate_seconds: float = 120.0
    seed: int = 0

    def __post_init__(self) -> None:
        if self.group < 2 or self.batch % self.group or self.batch < self.group:
            raise InputError(
                f"the batch must be a multiple of group, which is 2 or more; got batch {self.batch}, group {self.group}"
            )
        whole = ("channel_base", "channel_max", "latent", "mapping_layers", "images", "r1_every", "path_every",
                 "ada_every", "ada_images", "report_steps")  # fmt: skip
        for name in whole:
            if getattr(self, name) < 1:
                raise InputError(f"{name} must be 1 or more, got {getattr(self, name)}")
        for name in ("mixing", "ada_most", "path_share", "path_decay", "beta2"):
            if not 0 <= getattr(self, name) <= 1:
                raise InputError(f"{name} must lie between 0 and 1, got {getattr(self, name)}")
        if not (self.learning_rate > 0 and self.ema_images > 0 and self.path_weight >= 0 and self.beta2 < 1):
            raise InputError("learning_rate and ema_images must be above 0, path_weight at least 0, beta2 below 1")

    def widths(self, resolution: int) -> dict[int, int]:
        """Channels of each resolution from 4 up."""
        sides = [4 * 2**i for i in range((resolution // 4).bit_length())]
        return {r: max(min(self.channel_base // r, self.channel_max), 1) for r in sides}

    def gamma(self, resolution: int) -> float:
        """Weight of R1."""
        return 0.0002 * resolution**2 / self.batch if self.r1_gamma is None else self.r1_gamma

    @property
    def path_batch(self) -> int:
        return max(1, round(self.path_share * self.batch))

    @property
    def path_steps(self) -> int:
        """Steps between path length penalties; 0: there are none."""
        return self.path_every if self.path_weight else 0
