"""From a trained generator to a prior: latent statistics, and an encoder that starts inference and sees anatomy."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor

from napari_brgm.errors import InputError, WeightsError
from napari_brgm.likelihood import to_grey
from napari_brgm.priors.encoder import Encoder
from napari_brgm.priors.stylegan2 import StyleGAN2
from napari_brgm.priors.stylegan2_prior import StyleGAN2Prior
from napari_brgm.training.checkpoint import load_checkpoint
from napari_brgm.training.encode import train_encoder

if TYPE_CHECKING:
    from pathlib import Path

    from napari_brgm.priors.prior import PriorInfo

__all__ = ["gan_encoder", "gan_prior", "trained_generator"]

_CHUNK = 64  # images drawn at a time


def trained_generator(work: Path) -> tuple[StyleGAN2, int]:
    """Averaged generator in the checkpoint of ``train_gan``'s work folder, and how many images it was shown.

    Raises
    ------
    WeightsError
        There is no such checkpoint, or it is damaged or of another training.
    """
    try:
        state = load_checkpoint(work / "checkpoint")
        weights, shown = state["nets"]["average"], int(state["shown"])
    except (KeyError, TypeError) as error:
        raise WeightsError(f"{work} holds no adversarial training; choose the folder of one") from error
    return StyleGAN2.from_state_dict({k: v.float() for k, v in weights.items()}), shown


def gan_prior(net: StyleGAN2, info: PriorInfo) -> StyleGAN2Prior:
    """Prior of a trained network (``GanResult.network`` or ``trained_generator``).

    It has the mapping, and the statistics of 10,000 mapped z (BRGM Sec. 2.2).
    """
    prior = StyleGAN2Prior.of_network(net, info)
    net.mapping.w_avg.copy_(prior.latents.mean)
    return prior


def gan_encoder(
    prior: StyleGAN2Prior, *, images: int = 10_000, leading: int = 128,
    widths: tuple[int, ...] = (12, 24, 48, 64, 96), steps: int = 3000,
    device: torch.device | str = "cpu",
) -> Encoder:  # fmt: skip
    """Train an encoder on images that the prior draws, whose latents are known.

    Parameters
    ----------
    prior : StyleGAN2Prior
        With a mapping network.
    images : int
        How many are drawn.
    leading : int
        How many principal coordinates of w are learned; the others are set to their mean.
    widths, steps, device
        As of ``train_encoder``.

    Returns
    -------
    Encoder
        ``encode`` gives w (B, D) itself; its maps are features for the perceptual term.

    Raises
    ------
    InputError
        The prior has no mapping network, or draws colour images.
    """
    if prior.mapping is None or prior.channels != 1:
        raise InputError("an encoder is trained on grey images of a prior with a mapping network; leave it out here")
    prior = prior.to(device)
    assert prior.mapping is not None
    stats = prior.latents
    power, directions = torch.linalg.eigh(stats.covariance.double())  # ascending
    leading = min(leading, len(power))
    scale = power[-leading:].clamp(min=1e-12).sqrt().flip(0)  # (K,)
    basis = directions[:, -leading:].flip(1)  # (D, K)
    generator = torch.Generator().manual_seed(0)
    drawn, latents = [], []
    for begin in range(0, images, _CHUNK):
        z = torch.randn(min(_CHUNK, images - begin), prior.mapping.z_dim, generator=generator).to(stats.mean.device)
        with torch.no_grad():
            ws = prior.mapping(z)
            drawn.append(to_grey(prior.synthesize(ws)).round().clamp(0, 255).to(torch.uint8).cpu())
        latents.append((((ws[:, 0] - stats.mean).double() @ basis) / scale).float().cpu())
    found = train_encoder(
        torch.cat(drawn),
        torch.cat(latents),
        widths=widths,
        steps=steps,
        device=device,
    )
    return Encoder.from_state_dict(_to_w(found.state_dict(), (basis * scale).float().cpu(), stats.mean.cpu()))


def _to_w(weights: dict[str, Tensor], basis: Tensor, mean: Tensor) -> dict[str, Tensor]:
    """Fold w = mean + basis u into the last layers: basis (D, K), mean (D,)."""
    found = dict(weights)
    for layer in ("head", "direct"):
        if f"{layer}.weight" in found:
            found[f"{layer}.weight"] = basis @ weights[f"{layer}.weight"]
            found[f"{layer}.bias"] = basis @ weights[f"{layer}.bias"]
    found["head.bias"] = found["head.bias"] + mean
    return found
