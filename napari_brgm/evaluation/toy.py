"""Small made-up priors on which methods can be compared with exact or slow answers: no data, no patient.

``linear_toy``: probabilistic PCA of smooth blobs, whose posterior is known. ``network_toy``: StyleGAN2 of 32 px with
random weights, images of mean 110 and standard deviation 45 grey levels, as curved in its latents as layers make it.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import torch

from napari_brgm.corruptions import Downsample, Identity, Mask
from napari_brgm.likelihood import Likelihood, to_grey
from napari_brgm.observation import Observation, all_measured
from napari_brgm.posterior import Posterior
from napari_brgm.priors.linear_gaussian import LinearGaussian
from napari_brgm.priors.prior import LatentStatistics, PriorInfo
from napari_brgm.priors.stylegan2 import StyleGAN2, Synthesis
from napari_brgm.priors.stylegan2_prior import StyleGAN2Prior, mapped_statistics
from napari_brgm.settings import preset

if TYPE_CHECKING:
    from torch import Tensor

    from napari_brgm.corruptions import LinearOperator
    from napari_brgm.priors.prior import Prior
    from napari_brgm.settings import InferenceSettings

__all__ = [
    "TOYS", "TOY_VI_STEPS", "corruptions_of", "drawn_truth", "linear_toy", "network_toy", "simulated", "toy",
    "toy_settings",
]  # fmt: skip

TOY_VI_STEPS = 200
TOYS = ("toy", "toy-linear", "toy-mapped")

_SIDE = 32
_LATENTS = 16
_WIDTHS = {4: 12, 8: 12, 16: 8, 32: 6}
_MEAN, _SPREAD = 110.0, 45.0  # grey levels, of all pixels of all draws


def linear_toy(latents: int = 12, side: int = 24, seed: int = 0) -> LinearGaussian:
    """Random smooth components of falling strength; images differ by about 30 grey levels."""
    white = torch.randn(latents, 1, side, side, generator=torch.Generator().manual_seed(seed))
    frequency = torch.fft.fftfreq(side) * side
    radius = frequency[:, None].square() + frequency[None].square()
    smooth = torch.fft.ifft2(torch.fft.fft2(white) * torch.exp(-radius / 8)).real
    strength = torch.linspace(1.5, 0.5, latents)[:, None, None, None] / math.sqrt(latents)
    basis = 30 / 127.5 * strength * smooth / smooth.std(dim=(1, 2, 3), keepdim=True)
    info = PriorInfo("toy-linear", spacing_mm=1.0, representation_sigma=0.0)
    return LinearGaussian(torch.full((1, side, side), _MEAN / 127.5 - 1), basis, 1e-6, info)


def network_toy(seed: int = 0, *, bend: float = 0.25, mapped: bool = False) -> StyleGAN2Prior:
    """A StyleGAN2 of 32 px and 16 latents: w ~ N(0, I) exactly, or ``mapped``: w = mapping(z).

    ``bend`` is how strongly styles follow w; 1 is an untrained net, whose styles change their signs within the prior.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        net = Synthesis(_WIDTHS, _LATENTS)
        mapping = StyleGAN2(_WIDTHS, _LATENTS, _LATENTS, mapping_layers=2).mapping if mapped else None
        for name, weight in net.named_parameters():
            if name.endswith("affine.weight"):
                weight.data.mul_(bend)
    info = PriorInfo("toy-mapped" if mapped else "toy", spacing_mm=1.0, representation_sigma=0.0)
    if mapping is None:
        prior = StyleGAN2Prior(net, LatentStatistics.standard(_LATENTS), info)
    else:
        prior = StyleGAN2Prior(net, mapped_statistics(mapping), info, mapping=mapping)
    grey = to_grey(prior.sample(512, seed=1))
    gain = _SPREAD / float(grey.std(dim=0).mean())
    blocks = [getattr(net, f"b{r}") for r in net.resolutions]
    with torch.no_grad():
        for block in blocks:
            block.torgb.weight.mul_(gain)
            block.torgb.bias.mul_(gain)
        blocks[-1].torgb.bias.add_(_MEAN / 127.5 - float(to_grey(prior.sample(512, seed=1)).mean()) / 127.5)
    return prior


def toy(name: str) -> Prior:
    """The toy of this name, one of ``TOYS``."""
    return linear_toy() if name == "toy-linear" else network_toy(mapped=name == "toy-mapped")


def toy_settings(prior: Prior) -> InferenceSettings:
    """Settings with which a toy's highest maximum is found from its mean, and a VI that may have any covariance."""
    found = preset("unaided").but(
        start="mean", learning_rate=0.02, vi_samples_per_step=8, vi_rank=prior.latents.rank, calibrate=False
    )
    line = prior.parts.line
    if line is not None and line.exact:
        return found.but(steps=40, optimiser="gauss-newton")
    return found.but(steps=100, starts=8, optimiser="lbfgs", latent_space="z")  # w where there is no z


def corruptions_of(side: int) -> dict[str, LinearOperator]:
    """A mask that hides a central square of half the side, and pixels four times as large."""
    missing = torch.zeros(side, side, dtype=torch.bool)
    missing[side // 4 : side // 4 * 3, side // 4 : side // 4 * 3] = True
    return {"mask": Mask(missing), "downsample": Downsample(4)}


def drawn_truth(prior: Prior, settings: InferenceSettings, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """A draw of the model that ``settings`` infer: white latents (1, L, D) and the image G(w) (1, C, R, R)."""
    nothing = torch.zeros(1, prior.channels, prior.resolution, prior.resolution, device=prior.latents.mean.device)
    blind = Likelihood(Observation(Identity(), nothing[:, :1], 1.0), nothing)
    posterior = Posterior(prior, blind, settings.but(start="draw"))  # without the linear part's answer to the data
    with torch.no_grad():
        v = posterior.coordinates.drawn(1, generator)
        return posterior.whitened(v), posterior.images(v)


def simulated(corruption: LinearOperator, truth: Tensor, sigma: float, generator: torch.Generator) -> Likelihood:
    """The likelihood of f(x) + N(0, sigma^2), for x (1, C, R, R) in [-1, 1] and sigma in grey levels."""
    clean = corruption.A(to_grey(truth))
    noise = torch.randn(clean.shape, generator=generator).to(clean)
    observation = all_measured(corruption, clean, sigma)
    return Likelihood(observation, (clean + sigma * noise) * observation.measured)
