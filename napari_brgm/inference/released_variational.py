"""Variational inference as the authors' released code does it, for comparison (preset ``reference``).

    minimise over mu, sigma   mean over w of [pixel + perceptual + w]  +  colinear(mu)  +  q  +  theta(sigma)
    w = mu + sigma e,  six draws a step, of which the first has e = 0;  mu starts at w_bar, sigma at the prior's sd

Two faults of theirs are kept and told: q has no gradient, so that nothing pulls sigma outwards but its prior theta; and
what comes back as the spread is the sd that sigma began with. Ours is variational.py.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
import torch.nn.functional as F

from napari_brgm.inference.adam import Adam
from napari_brgm.inference.gaussians import Gaussian
from napari_brgm.inference.maximum import learning_rate
from napari_brgm.inference.variational import inverse_softplus
from napari_brgm.released import theta_term

if TYPE_CHECKING:
    from napari_brgm.inference.step import Progress
    from napari_brgm.posterior import Posterior

__all__ = ["FAULTS", "fit_released_gaussian"]

FAULTS = (
    "preset 'reference' keeps two faults of the released code: its spread is the prior's own, whatever was measured, "
    "and its entropy has no gradient"
)


def fit_released_gaussian(posterior: Posterior, generator: torch.Generator, progress: Progress) -> Gaussian:
    """N(mu, diag sd^2) as the released code returns it.

    Parameters
    ----------
    posterior : Posterior
        With the released objective.
    generator : torch.Generator
        Of the draws (CPU).
    progress : Progress
        Gets each step with the image of mu (1, C, R, R).
    """
    settings = posterior.settings
    steps = settings.vi_steps or settings.steps
    began = posterior.start_std()  # (L, D)
    mu = posterior.coordinates.start(1).requires_grad_(True)  # (1, L, D)
    rho = inverse_softplus(began).requires_grad_(True)
    optimiser = Adam([mu, rho])
    for iteration in range(steps):
        sigma = F.softplus(rho)
        e = torch.randn(settings.vi_samples_per_step, *began.shape, generator=generator).to(began)
        e[0] = 0
        terms, images = posterior.terms(mu + sigma * e)
        parts = {name: term.mean() for name, term in terms.items()}
        parts["colinear"] = terms["colinear"][0]  # of mu
        parts["q"] = -0.5 * e.square().mean()
        if settings.inverse_gamma is not None:
            parts["theta"] = theta_term(sigma, *settings.inverse_gamma)
        loss = torch.stack(list(parts.values())).sum()
        optimiser.step(loss, learning_rate(iteration, steps, settings.learning_rate, settings.schedule))
        progress.step("vi", loss.item(), {name: part.item() for name, part in parts.items()}, images[:1].detach())
    return Gaussian(mu.detach()[0], began)
