"""PULSE: latents on a sphere whose image agrees with the observation; the best of several restarts.

    min over w_1 .. w_L, |v_i| = sqrt(D)    100 || y - A x ||^2 / M + lambda_cross sum_(i < j) angle(v_i, v_j)^2 / L^2
    x = G(w) in 0..1,  w_i = mu + T v_i (Gaussianised where there is a mapping network: of the leaky ReLU's inverse)

A draw of N(0, I) in D dimensions is near the sphere of radius sqrt(D), so what is on it is taken for likely; nothing
else is known of it. ``PULSE restarts`` is the same without the sphere: descents from draws of N(0, I), held by nothing.

Changed: the whole covariance in place of the standard deviations of each entry, as here W is whitened everywhere; no
noise maps; cosine schedule in place of a linear one; also holes and JPEG, which its paper does not have.

Source: S. Menon, A. Damian, S. Hu, N. Ravi and C. Rudin, "PULSE: Self-supervised photo upsampling via latent space
exploration of generative models", CVPR 2020, arXiv 2003.03808, Sec. 3.2 and 4 (100 steps of Adam at rate 0.4,
lambda_cross 0.05 of squared angles times 64).
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any, Literal

import torch
import torch.nn.functional as F

from napari_brgm.engine.devices import pick_device
from napari_brgm.evaluation.given_prior import as_prior
from napari_brgm.evaluation.method import Restored
from napari_brgm.inference.adam import Adam
from napari_brgm.inference.maximum import learning_rate
from napari_brgm.posterior import images_at_once, synthesized
from napari_brgm.priors.stylegan2_prior import StyleGAN2Prior
from napari_brgm.settings import InferenceSettings

if TYPE_CHECKING:
    from pathlib import Path

    from torch import Tensor

    from napari_brgm.evaluation.method import Image, MethodFamily
    from napari_brgm.evaluation.tasks import Task
    from napari_brgm.priors.coordinates import Coordinates
    from napari_brgm.priors.prior import Prior

__all__ = ["Pulse"]

_DATA, _CROSS = 100.0, 0.05 * 64  # weights of the authors' code: 0.05, of squared angles times 512 / 8

# the better of 0.1 and 0.4 on two training slices, mask 3 and x8; so, too, is one latent for each layer
_RATE, _FREE_RATE = 0.4, 0.1


@dataclass(eq=False)
class Pulse:
    """The image of least misfit of several restarts; their mean and standard deviation beside it.

    Parameters
    ----------
    given : str, Path or Prior
        Loaded when it is first needed.
    sphere : bool
        False: without the sphere and the angles.
    latent_space : {'w', 'w+'}
        One latent for all layers, or one each, as in the paper.
    restarts, steps : int
    device : str
    """

    given: str | Path | Prior
    sphere: bool = True
    latent_space: Literal["w", "w+"] = "w+"
    restarts: int = 4
    steps: int = 100
    device: str = "auto"

    @property
    def name(self) -> str:
        return "pulse" if self.sphere else "pulse-restarts"

    @property
    def title(self) -> str:
        return "PULSE" if self.sphere else "PULSE restarts, without its sphere"

    @property
    def family(self) -> MethodFamily:
        return "generative"

    @property
    def rate(self) -> float:
        """Of Adam, in standard deviations of a latent."""
        return _RATE if self.sphere else _FREE_RATE

    @cached_property
    def prior(self) -> Prior:
        return as_prior(self.given).to(pick_device(self.device))

    @property
    def settings(self) -> InferenceSettings:
        """In what latents it searches."""
        prior = self.prior
        mapped = isinstance(prior, StyleGAN2Prior) and prior.unbent_latents is not None
        return InferenceSettings(
            latent_space=self.latent_space, prior_density="gaussianised" if mapped else "gaussian", start="draw"
        )

    @cached_property
    def coordinates(self) -> Coordinates:
        return self.prior.coordinates(self.settings, lambda: None)

    def fingerprint(self) -> dict[str, Any]:
        info = self.prior.info
        return {
            "prior": info.name, "weights_sha256": info.weights_sha256, "sphere": self.sphere,
            "latent_space": self.latent_space, "restarts": self.restarts, "steps": self.steps, "rate": self.rate,
        }  # fmt: skip

    def solves(self, task: Task) -> bool:
        return task.kind != "whole" and task.size == self.prior.resolution and self.prior.channels == 1

    def prepare(self) -> None:
        """Load the prior and whiten its latents."""
        _ = self.coordinates

    def restore(self, observed: Image, task: Task, seed: int) -> Restored:
        """Descend from ``restarts`` draws, a few at a time."""
        generator = torch.Generator().manual_seed(seed)
        draws = self.coordinates.drawn(self.restarts, generator)
        room = images_at_once(self.prior.resolution, draws.device, gradient=True)
        parts = [self._descended(part, observed, task) for part in torch.split(draws, room)]
        images = torch.cat([images for images, _misfit in parts])
        best = int(torch.cat([misfit for _images, misfit in parts]).argmin())
        mean = images.mean(dim=0)
        return Restored(
            images[best].numpy(),
            images.std(dim=0, correction=0).numpy(),
            mean=mean.numpy(),
            others={"mean": mean.numpy()},
        )

    def _descended(self, start: Tensor, observed: Image, task: Task) -> tuple[Tensor, Tensor]:
        """Images (B, R, R) in grey levels, and their mean squared misfits."""
        y = torch.from_numpy(observed).to(start)[None, None]
        seen = float(task.region.size if task.missing is None else (~task.missing).sum()) / task.factor**2
        v = self._held(start).requires_grad_(True)
        optimiser = Adam([v])
        for step in range(self.steps):
            images = self._images(v)
            loss = _DATA * (task.apply(images) - y / 255).square().sum() / seen
            if self.sphere:
                loss = loss + _CROSS * _crossed(v).sum()
            optimiser.step(loss, learning_rate(step, self.steps, self.rate, "cosine"))
            with torch.no_grad():
                v.copy_(self._held(v))
        with torch.no_grad():
            images = self._images(v)
            misfit = (task.apply(images) - y / 255).square().flatten(1).sum(dim=1) / seen
        return 255 * images[:, 0].cpu(), misfit.cpu()

    def _held(self, v: Tensor) -> Tensor:
        """V (B, L, D), each latent put back on the sphere."""
        return F.normalize(v.detach(), dim=2) * v.shape[2] ** 0.5 if self.sphere else v.detach().clone()

    def _images(self, v: Tensor) -> Tensor:  # (B, L, D) -> (B, 1, R, R), nominally in 0..1
        w = self.coordinates.ws(v)
        ws = w.expand(-1, self.prior.num_ws, -1) if w.shape[1] == 1 else w
        return (synthesized(self.prior, ws, self.settings) + 1) / 2


def _crossed(v: Tensor) -> Tensor:
    """Mean squared angle (B,) between the latents (B, L, D) of an image, all of one length, by its half."""
    rows, columns = v[:, :, None], v[:, None, :]
    apart = ((rows - columns).square().sum(dim=3) + 1e-9).sqrt()
    along = ((rows + columns).square().sum(dim=3) + 1e-9).sqrt()
    return (2 * torch.atan2(apart, along)).square().mean(dim=(1, 2))
