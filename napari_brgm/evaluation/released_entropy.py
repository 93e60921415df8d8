"""A rival: variational inference with the entropy term of the BRGM authors' released code, simulated.

Its log q is -0.5 ((w - mu_v) / sigma_v)^2, which with w = mu_v + sigma_v e is -0.5 e^2 and has no gradient in sigma_v.
Without the entropy's pull outwards sigma_v goes where its prior is most likely, whatever the data say:

    -log InverseGamma(sigma; a, b) = (a + 1) log sigma + b / sigma + const,     least at sigma = b / (a + 1)

So q = N(w_MAP, (b / (a + 1))^2) in W+ with their settings (preset 'reference'). The pull of the data inwards is left
out, which in their units is small beside that of the prior (every term is a mean).
"""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from napari_brgm.engine.observed import observe
from napari_brgm.errors import WeightsError
from napari_brgm.inference import maximise
from napari_brgm.likelihood import Likelihood
from napari_brgm.perceptual import pick_features
from napari_brgm.posterior import Posterior
from napari_brgm.settings import preset

if TYPE_CHECKING:
    import numpy.typing as npt

    from napari_brgm.corruptions import Corruption
    from napari_brgm.priors.prior import Prior

__all__ = ["draws_with_released_entropy", "released_sigma"]

_BATCH = 8  # images at a time


def released_sigma(inverse_gamma: tuple[float, float]) -> float:
    """Sigma_v at the least of -log InverseGamma(alpha, beta), in units of w.

    Examples
    --------
    >>> round(released_sigma((0.1, 0.95)), 4)
    0.8636
    """
    alpha, beta = inverse_gamma
    return beta / (alpha + 1)


def draws_with_released_entropy(
    image: npt.NDArray[np.float32], corruption: Corruption, prior: Prior, samples: int, seed: int = 0,
    steps: int | None = None,
) -> npt.NDArray[np.float64]:  # fmt: skip
    """Draw (samples, R, R) restorations of a slice on the prior's own grid; measured pixels are kept.

    ``steps``: of the search for the mean; None: as released.
    """
    settings = preset("reference")
    settings = settings if steps is None else settings.but(steps=steps)
    problem = observe(image, corruption, prior, pose=False, field=False)
    likelihood = problem.likelihood
    with suppress(WeightsError):  # neither a backbone nor an encoder: without the perceptual term
        features = pick_features(prior, settings.features, settings.feature_size)
        likelihood = Likelihood(likelihood.observation, likelihood.y, features)
    posterior = Posterior(prior, likelihood, settings)
    generator = torch.Generator().manual_seed(seed)
    mean = maximise(posterior, generator).v  # (1, L, D)
    assert settings.inverse_gamma is not None
    noise = torch.randn(samples, *mean.shape[1:], generator=generator).to(mean)
    latents = mean + released_sigma(settings.inverse_gamma) * noise
    with torch.no_grad():
        parts = [
            problem.finish(posterior.images(part), settings.data_consistency) for part in torch.split(latents, _BATCH)
        ]
    draws: npt.NDArray[Any] = problem.keep_measured(np.concatenate(parts))
    return draws.astype(np.float64)
