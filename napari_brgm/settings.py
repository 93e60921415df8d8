"""Settings of the posterior and of the inference, frozen so that a result can carry them, and the named presets."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass, replace
from typing import Any, Literal

from napari_brgm.errors import InputError

__all__ = ["PRESETS", "QUALITIES", "InferenceSettings", "Method", "Quality", "preset", "settings_for"]

_LEAST, _SHARE = 16, 0.2  # directions beside MAP: at least, and for each of its steps; eight more are random
Method = Literal["map", "laplace", "vi"]
Quality = Literal["preview", "standard", "careful"]


_CHOICES = {
    "latent_space": ("w", "w+", "z"),
    "prior_density": ("gaussian", "mixture", "gaussianised", "diagonal", "flat"),
    "objective": ("posterior", "released"),
    "noise": ("none", "const"),
    "start": ("mean", "linear", "encoder", "draw"),
    "optimiser": ("adam", "gauss-newton", "lbfgs"),
    "precision": ("float32", "bfloat16"),
    "schedule": ("constant", "cosine"),
    "features": ("auto", "lpips", "encoder", "efficientnet", "none"),
}


@dataclass(frozen=True, slots=True)
class InferenceSettings:
    """Everything that decides a reconstruction besides the scan, the corruption and the prior.

    Grey levels or unit range: each field says its unit. "Grey levels" are the 0..255 of the generator
    frame, whatever the scan's own units are.
    """

    name: str = "default"
    latent_space: Literal["w", "w+", "z"] = "w"  # one w for all layers, or one each, or z of the mapping network
    prior_density: Literal["gaussian", "mixture", "gaussianised", "diagonal", "flat"] = (
        "gaussian"  # N(mu, C); a mixture over training slices; N of the leaky ReLU's inverse; the paper's
        # N(mu, diag sigma^2); only the bounds
    )
    objective: Literal["posterior", "released"] = "posterior"  # BRGM Eq. 6, or the authors' code (released.py)
    lambda_w: float = 1.0  # weight of L_w; 1/2 of it is the Gaussian prior's -log p
    lambda_colinear: float = 0.0  # BRGM Eq. 6; 2 kappa of the von Mises
    lambda_pixel: float | None = (
        None  # per grey level squared; None: 1 / (noise^2 + representation^2) of scan and prior
    )
    lambda_perceptual: float = 0.0  # BRGM Eq. 6
    perceptual_temper: float = 0.0  # share of it in uncertainties: it counts the same data twice
    features: Literal["auto", "lpips", "encoder", "efficientnet", "none"] = (
        "auto"  # phi: VGG16 if its backbone is on disk, else the prior's encoder, else EfficientNet-Lite0 if installed
    )
    feature_size: int | None = None  # side that phi's pictures are resized to; None: the measurement's own
    noise: Literal["none", "const"] = "none"  # the generator's noise maps
    start: Literal["mean", "linear", "encoder", "draw"] = (
        "linear"  # linear: posterior mean of the generator's linear part or linearisation, if any; draw: of the prior
    )
    optimiser: Literal["adam", "gauss-newton", "lbfgs"] = "adam"
    tolerance: float | None = None  # MAP stops where a step changes the loss by less than this share; None: never
    learning_rate: float = 0.05
    schedule: Literal["constant", "cosine"] = "cosine"
    steps: int = 24  # of MAP
    directions: int | None = None  # that the spread after MAP looks at, at most; None: as take no longer than MAP
    vi_steps: int | None = None  # of VI after MAP; None: as many again
    vi_samples_per_step: int = 6  # BRGM Sec. 2.4
    vi_rank: int = 0  # columns of F in the covariance diag s^2 + F F' of VI; 0: diagonal
    members: int = 4  # of an ensemble, which takes the place of the Gaussian where prior_density is "flat"
    window: int = 20  # last iterates that an ensemble draws from, and whose running variance stops it
    patience: int | None = None  # steps without a new minimum of that variance; None: no early stop
    inverse_gamma: tuple[float, float] | None = None  # (alpha, beta) of the paper's prior on sigma_v
    residual_field: bool = True  # add what the generator cannot draw, given the data, if the prior models it
    fit_pose: bool = True  # and intensity, of a scan that is not on the generator's own grid
    adapt_residual: bool = True  # scale of the residual field from the measured pixels
    refine_steps: int = 0  # of fitting the generator itself to this one slice after MAP; marked in the result
    precision: Literal["float32", "bfloat16"] = "float32"  # of the generator's arithmetic
    compiled: bool = False  # torch.compile the generator first: minutes, then faster steps
    data_consistency: bool = True  # x + A^+(y - A x) on every result (always on for masks: measured pixels are kept)
    finish: bool = True  # give samples the texture of scans, where the prior has a network for it
    calibrate: bool = True  # widen or narrow the spread by the prior's conformal factors, where it has some
    preview_every: int = 10  # steps between previews
    # studied (docs/performance.md), and set by no preset, since it did not pay with the priors here:
    layer_spread: float | None = None  # tau of w_i = w + tau d_i, d_i ~ N(0, C), in W+; None: layers are independent
    starts: int = 1  # candidates: the start and draws of the prior; the best is kept
    coarse_to_fine: bool = False  # MAP sees the measurement in coarser pixels first

    def __post_init__(self) -> None:
        for name, allowed in _CHOICES.items():
            if getattr(self, name) not in allowed:
                raise InputError(f"{name} must be one of {', '.join(allowed)}, got {getattr(self, name)!r}")
        if self.vi_steps is not None and self.vi_steps < 1:
            raise InputError(f"vi_steps must be at least 1, got {self.vi_steps}")
        if self.feature_size is not None and self.feature_size < 32:
            raise InputError(f"feature_size must be at least 32, got {self.feature_size}")
        if self.steps < 1:
            raise InputError(f"steps must be at least 1, got {self.steps}")
        if not self.learning_rate > 0:
            raise InputError(f"learning_rate must be above 0, got {self.learning_rate}")
        if self.lambda_pixel is not None and not self.lambda_pixel > 0:
            raise InputError(f"lambda_pixel must be above 0, got {self.lambda_pixel}")
        for name in ("lambda_w", "lambda_colinear", "lambda_perceptual"):
            if not 0 <= getattr(self, name) < math.inf:
                raise InputError(f"{name} must be at least 0, got {getattr(self, name)}")
        if self.layer_spread is not None and not (self.layer_spread > 0 and self.latent_space == "w+"):
            raise InputError("layer_spread must be above 0, and asks for latent_space 'w+'")
        if self.latent_space == "z" and self.prior_density != "gaussian":
            raise InputError("in latent_space 'z' the density is N(0, I); choose prior_density 'gaussian'")
        if self.prior_density == "mixture" and (self.latent_space != "w" or self.start != "linear"):
            raise InputError("prior_density 'mixture' is one of w, weighed at start 'linear'; leave these as they are")
        if self.directions is not None and self.directions < 1:
            raise InputError(f"directions must be at least 1, got {self.directions}")
        if self.starts < 1 or self.vi_rank < 0 or self.refine_steps < 0:
            raise InputError("starts must be at least 1, vi_rank and refine_steps at least 0")
        if self.objective == "released" and (
            (self.latent_space, self.prior_density) != ("w+", "diagonal") or self.lambda_pixel is None
            or self.optimiser == "gauss-newton" or self.refine_steps or self.coarse_to_fine
        ):  # fmt: skip
            raise InputError(
                "the released objective is one of w itself with weights of its own; change no more than the weights, "
                "the steps and the optimiser ('adam' or 'lbfgs') of preset 'reference'"
            )
        if self.compiled and self.refine_steps:
            raise InputError("a compiled generator cannot be tuned; leave out compiled or refine_steps")
        if self.tolerance is not None and not self.tolerance > 0:
            raise InputError(f"tolerance must be above 0, got {self.tolerance}")
        if not 0 <= self.perceptual_temper <= 1:
            raise InputError(f"perceptual_temper must lie between 0 and 1, got {self.perceptual_temper}")
        if self.vi_samples_per_step < 1:
            raise InputError(f"vi_samples_per_step must be at least 1, got {self.vi_samples_per_step}")
        if min(self.members, self.window) < 1 or (self.patience is not None and self.patience < 1):
            raise InputError("members, window and patience must be at least 1")
        if self.patience is not None and self.window < 2:
            raise InputError("window must be at least 2 where patience is set: one image has no variance")
        if self.preview_every < 1:
            raise InputError(f"preview_every must be at least 1, got {self.preview_every}")

    @property
    def most_directions(self) -> int:
        """How many directions the spread after MAP looks at, at most, of a generator without an exact line."""
        return self.directions or max(int(_SHARE * self.steps), _LEAST)

    def but(self, **changes: Any) -> InferenceSettings:
        """A copy with these fields changed."""
        return replace(self, **changes)

    def as_dict(self) -> dict[str, Any]:
        """Fields as plain values that JSON gives back as they are, for provenance."""
        return {k: list(v) if isinstance(v, tuple) else v for k, v in asdict(self).items()}


PRESETS: dict[str, InferenceSettings] = {
    "default": InferenceSettings(optimiser="lbfgs", steps=8, vi_steps=24),
    # latents with the shapes of training slices, where what was measured of a slice weighs them; stacks: N(mu, C)
    "mixture": InferenceSettings(name="mixture", prior_density="mixture", optimiser="lbfgs", steps=8, vi_steps=24),
    # a generator without a linear part to start from
    "unaided": InferenceSettings(
        name="unaided", optimiser="lbfgs", steps=100, tolerance=1e-3, vi_steps=200,
        vi_rank=16,
    ),
    # a latent convolutional model: principal coordinates of phi
    "manifold": InferenceSettings(
        name="manifold", optimiser="lbfgs", learning_rate=0.2, steps=50, tolerance=3e-4, vi_steps=60,
        vi_rank=16, directions=512,
    ),
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
    # BRGM Eq. 6 with the settings printed in the paper
    "paper": InferenceSettings(
        name="paper", latent_space="w+", prior_density="diagonal", lambda_colinear=0.03, lambda_pixel=1e-5,
        lambda_perceptual=0.01, feature_size=256, noise="const", start="mean", learning_rate=0.001,
        schedule="constant", steps=500, perceptual_temper=1.0, inverse_gamma=(0.1, 0.95), residual_field=False,
        data_consistency=False,
    ),
    # the authors' released code, term by term
    "reference": InferenceSettings(
        name="reference", latent_space="w+", prior_density="diagonal", objective="released", lambda_w=100.0,
        lambda_colinear=0.1, lambda_pixel=0.001, lambda_perceptual=1e7, feature_size=256, noise="const", start="mean",
        learning_rate=0.1, schedule="constant", steps=501, inverse_gamma=(0.1, 0.95), residual_field=False,
        perceptual_temper=1.0, data_consistency=False,
    ),
}  # fmt: skip

QUALITIES: dict[Quality, float] = {"preview": 1 / 3, "standard": 1.0, "careful": 4.0}  # of the preset's steps


def settings_for(preset_name: str, quality: Quality = "standard") -> InferenceSettings:
    """Settings of a preset with more or fewer steps."""
    found = preset(preset_name)
    factor = QUALITIES[quality]
    vi_steps = None if found.vi_steps is None else max(round(found.vi_steps * factor), 1)
    return found.but(steps=max(round(found.steps * factor), 1), vi_steps=vi_steps)


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
