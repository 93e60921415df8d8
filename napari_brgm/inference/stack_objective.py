"""The posterior of a stack with its network: what MAP refines of all its slices together.

    log p(u_1 .. u_n | I) = -1/2 lambda sum_j |I_j - A_j sum_i M_ji x_i|^2 - 1/2 |v|^2 + const,   u = a + L v
    x_i = G(u_i) of the slices that are restored, and the generator's linear part of those which are only seen

v = v0 + C eta: v0 is the mean under the linear part and C C' about its covariance (inference/stack.py), so that the
search starts at the linear answer in coordinates in which it is nearly N(0, I).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

from napari_brgm.posterior import synthesized

if TYPE_CHECKING:
    from collections.abc import Callable

    from torch import Tensor

    from napari_brgm.inference.stack import StackPosterior
    from napari_brgm.likelihood import Likelihood
    from napari_brgm.priors.prior import Prior
    from napari_brgm.settings import InferenceSettings

__all__ = ["StackImages", "StackObjective"]


class StackImages:
    """Images of a stack's whitened latents.

    Parameters
    ----------
    prior : Prior
        With an exact line, one w for all layers.
    settings : InferenceSettings
    network : sequence of int
        Slices that the network draws; the others are drawn by the line, and by what the network adds at one point.
    """

    def __init__(self, prior: Prior, settings: InferenceSettings, network: list[int]) -> None:
        line = prior.parts.line
        assert line is not None
        self.prior, self.settings, self.network, self.model = prior, settings, network, line.whitened
        self.added: Tensor | float = 0.0  # (n, R, R): what the network draws beside the line, of the other slices

    def __call__(self, u: Tensor) -> Tensor:
        """X (B, n, R, R) in [-1, 1] of u (B, n, K)."""
        batch, n, _ = u.shape
        drawn = self.drawn(u[:, self.network])
        images = self.model.synthesize(u.flatten(0, 1)[:, None]).reshape(batch, n, *drawn.shape[2:]) + self.added
        place = torch.zeros(n, dtype=torch.long, device=u.device)
        place[self.network] = torch.arange(len(self.network), device=u.device)
        chosen = torch.zeros(n, dtype=torch.bool, device=u.device)
        chosen[self.network] = True
        return torch.where(chosen[None, :, None, None], drawn[:, place], images)

    def drawn(self, u: Tensor) -> Tensor:
        """G (B, n, R, R) of u (B, n, K)."""
        w = self.prior.latents.colour(u).flatten(0, 1)[:, None].expand(-1, self.prior.num_ws, -1)
        found = synthesized(self.prior, w, self.settings)
        return found.reshape(*u.shape[:2], *found.shape[2:])

    def at(self, u: Tensor) -> None:
        """From now on the slices which the line draws have what the network adds to it at u (1, n, K)."""
        line = self.model.synthesize(u[0][:, None])[:, 0]
        self.added = self.drawn(u)[0] - line


class StackObjective:
    """An objective for ``maximise``; its coordinates are eta (B, n, K).

    Parameters
    ----------
    posterior : StackPosterior
        Under the linear part.
    images : callable
        X (B, n, R, R) in [-1, 1] of whitened latents (B, n, K).
    likelihood : Likelihood
        Of the stack.
    precision : float
        lambda, per grey level squared.
    settings : InferenceSettings
        With optimiser 'adam' or 'lbfgs', one start, and all at the measurement's own resolution.
    """

    def __init__(
        self, posterior: StackPosterior, images: Callable[[Tensor], Tensor], likelihood: Likelihood, precision: float,
        settings: InferenceSettings,
    ) -> None:  # fmt: skip
        self.posterior, self.images, self.likelihood = posterior, images, likelihood
        self.precision, self.settings = precision, settings

    def start(self, batch: int = 1, generator: torch.Generator | None = None) -> Tensor:
        """Eta (batch, n - k, K) of the linear answer: 0."""
        return torch.zeros(batch, *self.posterior.start.shape, device=self.posterior.start.device)

    def coarser(self, block: int) -> StackObjective:
        """Itself: there are no coarse levels."""
        assert block == 1
        return self

    def terms(self, eta: Tensor) -> tuple[dict[str, Tensor], Tensor]:
        """Weighted terms (B,) by name, and the images (B, n, R, R)."""
        v = self.posterior.start + self.posterior.spread(eta)
        images = self.images(self.posterior.latents(eta))
        return {
            "pixel": self.precision * self.likelihood.pixel(images),
            "w": v.square().sum(dim=(1, 2)),
        }, images
