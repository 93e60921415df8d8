"""The objective of the authors' released code, term by term: what the preset ``reference`` minimises.

    pixel       lambda_pix  mean (f(x) - y)^2                       x, y in grey levels; hidden pixels are 0 in both
    perceptual  lambda_perc mean (phi(f(x)) - phi(y))^2             one mean over the entries of all layers together
    w           lambda_w    mean ((w - w_bar) / s)^2                s^2 = sum over dimensions of the variance of w
    colinear    lambda_c    sum over i, j of |1 - cos(w_i, w_j)|    over all pairs of layers, i = j included
    q           -1/2 mean ((w - mu) / sigma)^2                      VI alone, as the next; has no gradient
    theta       -mean log InverseGamma(sigma / 2; alpha, beta)

It is a recipe and no log density: means make the balance of prior and data depend on the size of the image and of the
network, s is about D^1/2 times the standard deviation of one latent, and q, where the entropy of the approximation
belongs, is a constant. Kept so that published results can be repeated; every other preset minimises BRGM Eq. 6.
The released colinear term reads the first image of a batch only: batches of one are meant, and each has its own here.

Source: the code that came with BRGM (arXiv 2012.04567), as released in October 2021.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import torch

if TYPE_CHECKING:
    from torch import Tensor

    from napari_brgm.likelihood import Likelihood
    from napari_brgm.priors.latents import Latents
    from napari_brgm.settings import InferenceSettings

__all__ = ["for_factor", "released_terms", "theta_term"]

_COARSE, _COARSE_COLINEAR = 16.0, 1.0  # the weight of the colinear term at factors of super-resolution above that


def for_factor(settings: InferenceSettings, factor: float) -> InferenceSettings:
    """Settings for an observation whose pixels are so many times coarser: above 16 the colinear term weighs 1."""
    return settings.but(lambda_colinear=_COARSE_COLINEAR) if factor > _COARSE else settings


def released_terms(
    settings: InferenceSettings, likelihood: Likelihood, latents: Latents, ws: Tensor, images: Tensor
) -> dict[str, Tensor]:
    """Weighted terms (B,) by name.

    Parameters
    ----------
    settings : InferenceSettings
        The weights.
    likelihood : Likelihood
    latents : Latents
        Mean and spread of w under the prior.
    ws : (B, L, D) Tensor
    images : (B, C, R, R) Tensor
        G(ws), nominally in [-1, 1].
    """
    assert settings.lambda_pixel is not None  # the settings say so
    terms = {
        "pixel": settings.lambda_pixel * likelihood.pixel(images) / likelihood.entries,
        "w": settings.lambda_w * _w_term(ws, latents.mean, latents.std.square().sum().sqrt()),
        "colinear": settings.lambda_colinear * _colinear_term(ws),
    }
    if settings.lambda_perceptual and likelihood.features is not None:
        distance = likelihood.perceptual(images) / likelihood.feature_entries
        terms["perceptual"] = settings.lambda_perceptual * distance
    return terms


def _w_term(ws: Tensor, mean: Tensor, spread: Tensor) -> Tensor:
    """(B,) of ws (B, L, D)."""
    return ((ws - mean) / spread).square().mean(dim=(1, 2))


def _colinear_term(ws: Tensor) -> Tensor:
    """(B,) of ws (B, L, D)."""
    directions = torch.nn.functional.normalize(ws, dim=2)
    return (1 - directions @ directions.transpose(1, 2)).abs().sum(dim=(1, 2))


def theta_term(sigma: Tensor, alpha: float, beta: float) -> Tensor:
    """-mean log InverseGamma(sigma / 2; alpha, beta) of the spread sigma (L, D) of VI."""
    half = sigma / 2
    constant = alpha * math.log(beta) - math.lgamma(alpha)
    return -(constant - (alpha + 1) * half.log() - beta / half).mean()
