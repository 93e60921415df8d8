"""Settings of the posterior and of the inference, frozen so that a result can carry them, and the named presets."""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from typing import Any, Literal

from napari_brgm.errors import InputError

__all__ = ["PRESETS", "QUALITIES", "InferenceSettings", "Method", "Quality", "preset", "settings_for"]

Method = Literal["map", "vi"]
Quality = Literal["preview", "standard", "careful"]


_CHOICES = {
    "latent_space": ("w", "w+"),
    "prior_density": ("gaussian", "diagonal", "flat"),
    "reduction": ("sum", "mean"),
    "noise": ("none", "const"),
    "start": ("mean", "linear", "draw"),
    "schedule": ("constant", "cosine"),
    "features": ("auto", "lpips", "encoder"),
}


@dataclass(frozen=True, slots=True)
class InferenceSettings:
    """Everything that decides a reconstruction besides the scan, the corruption and the prior.

    Sums or means, grey levels or unit range: each field says its unit. "Grey levels" are the 0..255 of the generator
    frame, whatever the scan's own units are.
    """

    name: str = "default"
    latent_space: Literal["w", "w+"] = "w"  # one w for all layers, or one each
    prior_density: Literal["gaussian", "diagonal", "flat"] = (
        "gaussian"  # N(mu, C); the paper's N(mu, diag sigma^2); or no density, only the generator's bounds
    )
    reduction: Literal["sum", "mean"] = "sum"  # of every term; "mean" only repeats the released code
    lambda_w: float = 1.0  # weight of L_w; 1/2 of it is the Gaussian prior's -log p
    lambda_colinear: float = 0.0  # BRGM Eq. 6; 2 kappa of the von Mises
    lambda_pixel: float | None = (
        None  # per grey level squared; None: 1 / (noise^2 + representation^2) of scan and prior
    )
    lambda_perceptual: float = 0.0  # BRGM Eq. 6
    features: Literal["auto", "lpips", "encoder"] = "auto"  # phi: VGG16 if its backbone is on disk, else the encoder
    noise: Literal["none", "const"] = "none"  # the generator's noise maps
    start: Literal["mean", "linear", "draw"] = (
        "linear"  # linear: exact posterior mean of the generator's linear part if it has one; draw: from the prior
    )
    learning_rate: float = 0.05
    schedule: Literal["constant", "cosine"] = "cosine"
    steps: int = 24  # of MAP; VI takes as many again
    vi_samples_per_step: int = 6  # BRGM Sec. 2.4
    members: int = 4  # of an ensemble, which takes the place of the Gaussian where prior_density is "flat"
    window: int = 20  # last iterates that an ensemble draws from, and whose running variance stops it
    patience: int | None = None  # steps without a new minimum of that variance; None: no early stop
    inverse_gamma: tuple[float, float] | None = None  # (alpha, beta) of the paper's prior on sigma_v
    residual_field: bool = True  # add what the generator cannot draw, given the data, if the prior models it
    fit_pose: bool = True  # and intensity, of a scan that is not on the generator's own grid
    data_consistency: bool = True  # x + A^+(y - A x) on every result (always on for masks: measured pixels are kept)
    preview_every: int = 10  # steps between previews

    def __post_init__(self) -> None:
        for name, allowed in _CHOICES.items():
            if getattr(self, name) not in allowed:
                raise InputError(f"{name} must be one of {', '.join(allowed)}, got {getattr(self, name)!r}")
        if self.steps < 1:
            raise InputError(f"steps must be at least 1, got {self.steps}")
        if not self.learning_rate > 0:
            raise InputError(f"learning_rate must be above 0, got {self.learning_rate}")
        if self.lambda_pixel is not None and not self.lambda_pixel > 0:
            raise InputError(f"lambda_pixel must be above 0, got {self.lambda_pixel}")
        if self.vi_samples_per_step < 1:
            raise InputError(f"vi_samples_per_step must be at least 1, got {self.vi_samples_per_step}")
        if min(self.members, self.window) < 1 or (self.patience is not None and self.patience < 1):
            raise InputError("members, window and patience must be at least 1")
        if self.patience is not None and self.window < 2:
            raise InputError("window must be at least 2 where patience is set: one image has no variance")
        if self.preview_every < 1:
            raise InputError(f"preview_every must be at least 1, got {self.preview_every}")

    def but(self, **changes: Any) -> InferenceSettings:
        """A copy with these fields changed."""
        return replace(self, **changes)

    def as_dict(self) -> dict[str, Any]:
        """Fields as plain values that JSON gives back as they are, for provenance."""
        return {k: list(v) if isinstance(v, tuple) else v for k, v in asdict(self).items()}


PRESETS: dict[str, InferenceSettings] = {
    "default": InferenceSettings(),
    # a generator without a linear part to start from
    "unaided": InferenceSettings(name="unaided", start="mean", steps=200),
    # a latent convolutional model: principal coordinates of phi
    "manifold": InferenceSettings(name="manifold", start="mean", learning_rate=0.2, steps=60),
    # the same as its paper restores (LCM Sec. 3): all of phi, in its box
    "box": InferenceSettings(
        name="box", prior_density="flat", start="draw", learning_rate=1e-3, steps=150, members=2,
    ),
    # an untrained network
    "untrained": InferenceSettings(
        name="untrained", prior_density="flat", start="draw", learning_rate=0.01, schedule="constant", steps=300,
        members=2,
        window=16, patience=60, residual_field=False, fit_pose=False,
    ),
    # BRGM, "settings printed in the paper"
    "paper": InferenceSettings(
        name="paper", latent_space="w+", prior_density="diagonal", lambda_colinear=0.03, lambda_pixel=1e-5,
        lambda_perceptual=0.01, noise="const", start="mean", learning_rate=0.001, schedule="constant", steps=500,
        inverse_gamma=(0.1, 0.95), residual_field=False, data_consistency=False,
    ),
    # constants of the authors' released code: images on 0..255, every term a mean
    "reference": InferenceSettings(
        name="reference", latent_space="w+", prior_density="diagonal", reduction="mean", lambda_w=100.0,
        lambda_colinear=0.1, lambda_pixel=0.001, lambda_perceptual=1e7, noise="const", start="mean",
        learning_rate=0.1, schedule="constant", steps=501, inverse_gamma=(0.1, 0.95), residual_field=False,
        data_consistency=False,
    ),
}  # fmt: skip

QUALITIES: dict[Quality, float] = {"preview": 1 / 3, "standard": 1.0, "careful": 4.0}  # of the preset's steps


def settings_for(preset_name: str, quality: Quality = "standard") -> InferenceSettings:
    """Settings of a preset with more or fewer steps."""
    found = preset(preset_name)
    return found.but(steps=max(round(found.steps * QUALITIES[quality]), 1))


def preset(name: str) -> InferenceSettings:
    """The preset of this name.

    Raises
    ------
    InputError
        There is none.
    """
    if name not in PRESETS:
        raise InputError(f"there is no preset {name!r}; choose one of {', '.join(sorted(PRESETS))}")
    return PRESETS[name]
