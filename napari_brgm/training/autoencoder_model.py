"""The autoencoder: a variational one whose decoder is the StyleGAN2 synthesis network.

    q(w | x) = N(encoder(x), diag(s^2)),  one s for all slices
    x'       = synthesis(w for every layer), noise strength 0
    loss     = mean |x' - x| + sum over bands of mean |band(x' - x)| + kl_weight KL(q || N(0, I)),  in grey levels

Kingma and Welling, arXiv 1312.6114, Eq. 10 and App. B (the KL); the pyramid as in training/pyramid.py.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from napari_brgm.priors.encoder import Encoder
from napari_brgm.priors.parts import Parts
from napari_brgm.priors.prior import LatentStatistics, PriorInfo
from napari_brgm.priors.stylegan2 import Synthesis
from napari_brgm.priors.stylegan2_prior import StyleGAN2Prior
from napari_brgm.training.linear_start import PooledComponents, start_encoder, start_synthesis
from napari_brgm.training.pyramid import pyramid_distance
from napari_brgm.training.synthesis import synthesise

if TYPE_CHECKING:
    from napari_brgm.training.autoencoder_settings import AutoencoderSettings
    from napari_brgm.training.slice_bank import SliceBank

__all__ = ["Autoencoder", "Losses", "posterior_statistics"]

_START_STD = 0.1  # of q(w | x), in standard deviations of the latents
_CHUNK = 64  # slices encoded at a time


@dataclass(frozen=True, slots=True)
class Losses:
    """Terms of one batch: ``l1`` and ``pyramid`` in grey levels, ``kl`` in nats a slice; each a Tensor ()."""

    l1: Tensor
    pyramid: Tensor
    kl: Tensor


class Autoencoder(nn.Module):
    """Encoder, spread of the latents, and synthesis network."""

    def __init__(self, settings: AutoencoderSettings, resolution: int, channels: int = 1) -> None:
        super().__init__()
        self.encoder = Encoder(settings.encoder_widths, settings.latents, resolution, channels, settings.direct)
        self.synthesis = Synthesis(dict(settings.widths), settings.latents, channels)
        assert self.encoder.direct is not None
        self.encoder.direct.requires_grad_(False)
        self.log_std = nn.Parameter(torch.full((settings.latents,), _START_STD).log())

    def start_linear(self, components: PooledComponents) -> None:
        """Begin as principal component analysis; the encoder's direct path stays that."""
        start_encoder(self.encoder, components)
        start_synthesis(self.synthesis, components)

    def reconstruct(self, images: Tensor) -> Tensor:
        """G(encoder(x)) of images x, both (B, C, R, R)."""
        w: Tensor = self.encoder.encode(images)
        return self.synthesis(w[:, None].expand(-1, self.synthesis.num_ws, -1), "none")  # type: ignore[no-any-return]

    def losses(self, images: Tensor, spread: Tensor, levels: int, half_from: int | None) -> Losses:
        """Losses on images (B, C, R, R) in [-1, 1] with the standard normal draws ``spread`` (B, D).

        ``half_from``: resolution from which blocks run in bfloat16, or None. The encoder runs in float32: its direct
        path divides by small standard deviations.
        """
        mean = self.encoder.encode(images)  # (B, D)
        w = mean + spread * self.log_std.exp()
        shown = synthesise(self.synthesis, w[:, None].expand(-1, self.synthesis.num_ws, -1), half_from=half_from)
        error = (shown - images) * 127.5  # grey levels
        variance = (2 * self.log_std).exp()
        kl = 0.5 * (mean.square() + variance - 1 - 2 * self.log_std).sum(dim=1)  # (B,)
        return Losses(error.abs().mean(), pyramid_distance(error, levels), kl.mean())

    def prior(self, latents: LatentStatistics, info: PriorInfo) -> StyleGAN2Prior:
        """What was learned, as a prior on ``latents``' device; the networks are shared, not copied."""
        return StyleGAN2Prior(
            self.synthesis, latents, info, parts=Parts(encoder=self.encoder.eval().requires_grad_(False))
        )


@torch.no_grad()
def posterior_statistics(model: Autoencoder, bank: SliceBank) -> LatentStatistics:
    """p(w) as a Gaussian: mean and full covariance of the encoder's means over all slices, plus the spread of each."""
    index = torch.arange(len(bank), device=bank.images.device)
    means = []
    for part in torch.split(index, _CHUNK):
        images = bank.take(part)
        means.append(model.encoder.encode(images))
        if bank.mirror:
            means.append(model.encoder.encode(images.flip(-1)))
    found = LatentStatistics.of(torch.cat(means).double())
    covariance = found.covariance + torch.diag((2 * model.log_std.double()).exp())
    return LatentStatistics(found.mean.float(), covariance.float())
