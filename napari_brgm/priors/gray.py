"""A colour generator seen in gray: f o Grayscale o G, as a prior of gray images.

Networks trained on gray images that were stored as red, green and blue draw three channels that are nearly alike: their
mean is the image. Others draw colour, and gray is its luminance.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING
from weakref import WeakKeyDictionary

from napari_brgm.corruptions import Grayscale
from napari_brgm.priors.linear_model import LinearModel
from napari_brgm.priors.network import network_of, with_network
from napari_brgm.priors.parts import Parts

if TYPE_CHECKING:
    from collections.abc import Callable

    import torch
    from torch import Tensor, nn

    from napari_brgm.priors.coordinates import Coordinates
    from napari_brgm.priors.gaussian_posterior import GaussianPosterior
    from napari_brgm.priors.prior import Prior
    from napari_brgm.priors.stylegan2_layers import NoiseMode
    from napari_brgm.settings import InferenceSettings

__all__ = ["Gray"]

_ALIKE = 4.0  # grey levels, rms, by which channels of images stored as colour may differ
_DRAWS = 2  # images that are looked at
_seen: WeakKeyDictionary[Prior, Gray] = WeakKeyDictionary()


class Gray:
    """The gray images of a colour prior, with the same latents.

    Parameters
    ----------
    prior : Prior
        Of three channels.
    mixture : Grayscale
        What becomes of them.
    """

    def __init__(self, prior: Prior, mixture: Grayscale) -> None:
        self.prior, self.mixture = prior, mixture
        self.info, self.latents, self.num_ws = prior.info, prior.latents, prior.num_ws
        self.resolution, self.channels = prior.resolution, 1
        line = prior.parts.line
        self.parts = Parts() if line is None else Parts(line=replace(line, model=self._mixed(line.model)))

    @classmethod
    def of(cls, prior: Prior) -> Gray:
        """The mean of channels that are alike in what the prior draws, else the luminance (Rec. 601)."""
        if prior not in _seen:
            images = prior.sample(_DRAWS, seed=0)
            apart = 127.5 * float((images - images.mean(dim=1, keepdim=True)).square().mean().sqrt())
            _seen[prior] = cls(prior, Grayscale((1 / 3, 1 / 3, 1 / 3)) if apart < _ALIKE else Grayscale())
        return _seen[prior]

    @property
    def note(self) -> str:
        """One sentence for the person."""
        red, _, blue = self.mixture.weights
        how = "the mean of its channels" if red == blue else "the luminance of what it draws"
        return f"{self.info.name} draws colour and the scan is gray: it is seen through {how}"

    @property
    def network(self) -> nn.Module | None:
        return network_of(self.prior)

    def with_network(self, network: nn.Module) -> Gray:
        """The same with another network of the same shape."""
        return Gray(with_network(self.prior, network), self.mixture)

    def synthesize(self, ws: Tensor, noise: NoiseMode = "none") -> Tensor:
        """Gray images (B, 1, R, R) of ws (B, num_ws, D)."""
        return self.mixture.A(self.prior.synthesize(ws, noise))

    def sample(self, n: int, seed: int = 0) -> Tensor:
        """Draw n images (n, 1, R, R)."""
        return self.mixture.A(self.prior.sample(n, seed))

    def coordinates(
        self, settings: InferenceSettings, given: Callable[[], GaussianPosterior | None]
    ) -> Coordinates:  # fmt: skip
        """Those of the colour prior."""
        return self.prior.coordinates(settings, given)

    def for_slice(self, shape: tuple[int, int], channels: int) -> Prior:
        """As of the colour prior, for a gray slice."""
        return self

    def to(self, device: torch.device | str) -> Gray:
        """Copy on ``device`` (the same object if it is there already)."""
        moved = self.prior.to(device)
        return self if moved is self.prior else Gray(moved, self.mixture)

    def _mixed(self, model: LinearModel) -> LinearModel:
        mean, basis = self.mixture.A(model.mean[None])[0], self.mixture.A(model.coarse)
        return LinearModel(mean, basis, model.noise_variance)
