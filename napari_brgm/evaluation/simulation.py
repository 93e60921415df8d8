"""Simulation-based calibration: truths from the prior, data from the truths, and the ranks of one among draws of other.

    u ~ p(u),  x = G(w(u)) + e,  y = f(x) + n,  draws ~ q(u, x | y)         no patient's data

Quantities are projections of the white latents on random directions, and pixels that the corruption hid. e is the
prior's residual field, where it has one. Pose, grey scale and noise are known to the inference, and calibration factors
are off: what is tested is the posterior alone.

Draws are those of the inference, but independent: ``restore`` shows draws whose mean is exactly q's mean, and images
cut off at black and made to fit the data. Centred draws crowd the truth's rank into the middle by a little, images that
are cut off have ties at black; neither says anything of the posterior.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from napari_brgm.engine.draws import completed
from napari_brgm.engine.observed import observe
from napari_brgm.errors import InputError
from napari_brgm.evaluation.ranks import RankReport, ranks_among
from napari_brgm.evaluation.toy import TOY_VI_STEPS, TOYS, corruptions_of, drawn_truth, simulated, toy, toy_settings
from napari_brgm.inference import fit_gaussian, laplace_at, maximise
from napari_brgm.likelihood import from_grey, to_grey
from napari_brgm.posterior import Posterior
from napari_brgm.settings import preset
from napari_brgm.zoo.registry import load_prior

if TYPE_CHECKING:
    from napari_brgm.corruptions import LinearOperator
    from napari_brgm.inference import Spread
    from napari_brgm.priors.prior import Prior
    from napari_brgm.settings import InferenceSettings

__all__ = ["METHODS", "Quantities", "independent", "independently_completed", "simulate"]

METHODS = ("map", "laplace", "vi")
_BATCH = 16
_PRIOR_DRAWS = 64
_LIVELY = 3.0  # grey levels; pixels that differ less between draws of the prior are not asked about


@dataclass(frozen=True, slots=True, eq=False)
class Quantities:
    """What is ranked: projections (P, L D) of white latents, and pixels (K,) of the flattened image."""

    directions: Tensor
    pixels: Tensor

    @property
    def names(self) -> tuple[str, ...]:
        latents = [f"latent {i + 1}" for i in range(len(self.directions))]
        return (*latents, *(f"pixel {i + 1}" for i in range(len(self.pixels))))

    def of(self, white: Tensor, images: Tensor) -> Tensor:
        """(B, P + K) of white latents (B, L, D) and images (B, C, R, R) in grey levels."""
        return torch.cat([white.flatten(1) @ self.directions.T, images.flatten(1)[:, self.pixels]], dim=1)

    @classmethod
    def chosen(cls, size: int, hidden: Tensor, count: int, generator: torch.Generator) -> Quantities:
        """``count`` random directions of ``size`` latents, and as many of the pixels ``hidden`` (C R R,) bool."""
        directions = torch.randn(count, size, generator=generator)
        where = hidden.nonzero()[:, 0]
        picked = where[torch.randperm(len(where), generator=generator)[:count]]
        return cls(directions / directions.norm(dim=1, keepdim=True), picked)


def independent(spread: Spread, n: int, generator: torch.Generator) -> Tensor:
    """Draw v (n, L, D) from a Gaussian whose ``sample`` centres its draws, n > 1.

    The mean of n independent draws is N(m, C / n) and independent of their deviations. One draw gives it: the first of
    two centred ones, (z_1 - z_2) / sqrt 2 from m, is N(m, C).
    """
    mean = spread.mean
    centred = spread.sample(n, generator) - mean
    common = spread.sample(2, generator)[0] - mean
    draws: Tensor = mean + ((n - 1) / n) ** 0.5 * centred + common / n**0.5
    return draws


def independently_completed(complete: Callable[[Tensor, torch.Generator | None], Tensor], images: Tensor,
                            generator: torch.Generator) -> Tensor:  # fmt: skip
    """Images (n, C, R, R) with draws of the residual field that are independent, where ``complete`` centres a batch.

    A completed image is affine in the field's draw; one image alone is not centred.
    """
    n = len(images)
    middle = complete(images, None)
    centred = complete(images, generator) - middle
    common = complete(images[:1], generator) - middle[:1]
    whole: Tensor = middle + ((n - 1) / n) ** 0.5 * centred + common / n**0.5
    return whole


def simulate(
    name: str, corruption_name: str, sigma: float, methods: tuple[str, ...] = METHODS, *, simulations: int = 100,
    draws: int = 31, quantities: int = 8, seed: int = 0, settings: InferenceSettings | None = None,
    tell: Callable[[int, int, str], None] | None = None,
) -> list[RankReport]:  # fmt: skip
    """Ranks of each method.

    Parameters
    ----------
    name : str
        'toy', 'toy-linear', 'toy-mapped' (evaluation/toy.py), or a prior by name or path.
    corruption_name : {'mask', 'downsample'}
    sigma : float
        Noise of the observation, grey levels, above 0.
    methods : tuple of {'map', 'laplace', 'vi'}
        'map': as ``restore`` draws, which takes the exact posterior of a generator's linear part for granted.
    simulations, draws, quantities : int
        Truths; posterior draws of each, at least 2; and how many latent directions, and pixels, are ranked.
    settings : InferenceSettings or None
        None: those that suit the prior.
    """
    unknown = [method for method in methods if method not in METHODS]
    if unknown or not methods:
        raise InputError(f"methods must be some of {', '.join(METHODS)}, got {', '.join(unknown) or 'none'}")
    if draws < 2 or simulations < 1 or not sigma > 0:
        raise InputError("draws must be at least 2, simulations at least 1 and the noise above 0")
    prior = toy(name) if name in TOYS else load_prior(name)
    settings = _settings(name, prior) if settings is None else settings
    corruption = _corruption(corruption_name, prior.resolution)
    generator = torch.Generator().manual_seed(seed)
    asked = _asked(prior, settings, corruption, quantities, generator)
    ranks: dict[str, list[np.ndarray]] = {method: [] for method in methods}  # type: ignore[type-arg]
    for number in range(simulations):
        own = torch.Generator().manual_seed(seed * 1_000_003 + number + 1)
        white, image = drawn_truth(prior, settings, own)
        posterior, complete, truth = _posed(prior, settings, corruption, image, sigma, own)
        maximum = maximise(posterior, own)
        for method in methods:
            spread: Spread = (around := laplace_at(posterior, maximum.v, own, linearised=method != "laplace"))
            if method == "vi":
                spread = fit_gaussian(posterior, around, own, steps=TOY_VI_STEPS if name in TOYS else None)
            v = independent(spread, draws, own)
            with torch.no_grad():
                images = torch.cat([posterior.images(part) for part in torch.split(v, _BATCH)])
                images = to_grey(independently_completed(complete, images, own))
                found = asked.of(posterior.whitened(v), images)
            ranks[method].append(ranks_among(asked.of(white, truth)[0].numpy(), found.numpy()))
        if tell is not None:
            tell(number + 1, simulations, f"{name}, {corruption_name}")
    return [
        RankReport(f"{name}, {corruption_name}, noise {sigma:g}, {method}", draws, asked.names, np.stack(ranks[method]))
        for method in methods
    ]


def _settings(name: str, prior: Prior) -> InferenceSettings:
    if name in TOYS:
        return toy_settings(prior)
    return preset(prior.info.preset).but(calibrate=False, adapt_residual=False, fit_pose=False)


def _corruption(name: str, side: int) -> LinearOperator:
    known = corruptions_of(side)
    if name not in known:
        raise InputError(f"the corruption must be one of {', '.join(known)}, got {name!r}")
    return known[name]


def _asked(
    prior: Prior, settings: InferenceSettings, corruption: LinearOperator, count: int, generator: torch.Generator
) -> Quantities:
    drawn = [drawn_truth(prior, settings, generator) for _ in range(_PRIOR_DRAWS)]
    images = to_grey(torch.cat([image for _, image in drawn]))
    hidden = images.std(dim=0) > _LIVELY  # (C, R, R)
    kept = corruption.kept((prior.resolution, prior.resolution))
    if kept is not None:
        hidden &= ~kept
    return Quantities.chosen(drawn[0][0].numel(), hidden.flatten(), count, generator)


Complete = Callable[[Tensor, "torch.Generator | None"], Tensor]


def _posed(
    prior: Prior, settings: InferenceSettings, corruption: LinearOperator, image: Tensor, sigma: float,
    generator: torch.Generator,
) -> tuple[Posterior, Complete, Tensor]:  # fmt: skip
    """The posterior given a simulated observation of ``image``, what completes its draws, and the truth in grey."""
    residual = prior.parts.residual
    if residual is None and prior.info.representation_sigma == 0:
        likelihood = simulated(corruption, image, sigma, generator)
        return Posterior(prior, likelihood, settings), lambda images, _: images, to_grey(image)
    if residual is not None:
        image = image + residual.sample(1, generator) / 127.5
    else:  # white noise of its own in each pixel is all that is said of what the generator cannot draw
        image = image + prior.info.representation_sigma / 127.5 * torch.randn(image.shape, generator=generator)
    scan = simulated(corruption, image, sigma, generator).y[0, 0].numpy()
    first = observe(scan, corruption, prior, noise_sigma=sigma, pose=False)
    grey = replace(first.placed.alignment, low=0.0, high=255.0)
    problem = observe(scan, corruption, prior, noise_sigma=sigma, alignment=grey, field=settings.residual_field)
    posterior = Posterior(prior, problem.likelihood, settings)

    def complete(images: Tensor, own: torch.Generator | None) -> Tensor:
        return completed(problem, residual if settings.residual_field else None, images, own)

    back = from_grey(problem.placed.frame.A(to_grey(image)))
    if not math.isclose(float((back - image).abs().max()), 0, abs_tol=1e-3):
        raise InputError(f"{prior.info.name} does not take an image of its own grid as it is")
    return posterior, complete, to_grey(image)
