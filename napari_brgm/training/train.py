"""One door to the four recipes: slices in, weights file, sample sheet and model card out.

linear       a linear-Gaussian part refined by a StyleGAN2 network (recipe.py); hours on a CPU
autoencoder  StyleGAN2 trained as a variational autoencoder; hours on a CPU, minutes on a GPU
gan          StyleGAN2 with its adversary; a GPU
lcm          a latent convolutional model (lcm.py); an hour on a CPU, from a few hundred slices
"""

from __future__ import annotations

import time
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Literal, cast

import numpy as np
import torch

from napari_brgm.engine.devices import pick_device
from napari_brgm.errors import InputError
from napari_brgm.inference.inversion import invert
from napari_brgm.likelihood import from_grey
from napari_brgm.priors.line import linearised
from napari_brgm.priors.residual_field import ResidualField
from napari_brgm.training.autoencoder import train_autoencoder
from napari_brgm.training.card import Card, write_card
from napari_brgm.training.gan import train_gan
from napari_brgm.training.gan_prior import gan_encoder, gan_prior, trained_generator
from napari_brgm.training.lcm import train_lcm
from napari_brgm.training.lcm_settings import LcmSettings
from napari_brgm.training.recipe import Recipe, train_prior
from napari_brgm.training.sheet import sample_sheet
from napari_brgm.zoo.files import write_prior

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from torch import Tensor

    from napari_brgm.datasets import SliceSet
    from napari_brgm.priors.convolutional_manifold import ConvolutionalManifold
    from napari_brgm.priors.prior import PriorInfo
    from napari_brgm.priors.stylegan2_prior import StyleGAN2Prior
    from napari_brgm.training.autoencoder_settings import AutoencoderSettings
    from napari_brgm.training.card import AnySettings
    from napari_brgm.training.gan_settings import GanSettings

__all__ = ["RECIPES", "RecipeName", "TrainingRun", "train"]

RecipeName = Literal["linear", "autoencoder", "gan", "lcm"]
RECIPES: tuple[RecipeName, ...] = ("linear", "autoencoder", "gan", "lcm")
_HELD_OUT = 0.1  # of the subjects, whose reconstruction error is followed
_DARK = 0.02  # of white; a border darker than that is background
_RESIDUALS = 128  # held-out slices from which the residual field is estimated
_STEPS, _RATE = 150, 0.05  # of their inversion
_MANIFOLD_RESIDUALS, _MANIFOLD_STEPS, _MANIFOLD_RATE = 64, 80, 0.3  # the same for a latent convolutional model
_LATEST = 0.5  # of the time of a run: the weights file is not begun later, since making it cannot be interrupted
_ENCODER_WIDTHS = {128: (12, 24, 48, 64, 96), 256: (8, 12, 24, 48, 64, 96)}


@dataclass(frozen=True, slots=True)
class TrainingRun:
    """Where a training runs, and how long.

    Attributes
    ----------
    work : Path
        Folder of checkpoints and stages; the same one goes on with a cut run.
    out : Path
        Weights file to write; its card (.md) and sample sheet (.png) lie beside it.
    device : str
    seconds : float
        Stop after so long, with everything kept.
    report : callable
        Gets lines for a person.
    progress : callable
        Gets (slices shown to the network, slices in all).
    warm_start : Path or None
        Weights that the gan recipe starts from.
    finish : bool
        The gan recipe makes the weights file of its last checkpoint, however many images were shown; no training.
    """

    work: Path
    out: Path
    device: str = "auto"
    seconds: float = float("inf")
    report: Callable[[str], None] = print
    progress: Callable[[int, int], None] | None = None
    warm_start: Path | None = None
    finish: bool = False


def train(slices: SliceSet, info: PriorInfo, settings: AnySettings, run: TrainingRun) -> str | None:
    """Train a prior, or go on with its training in ``run.work``.

    Parameters
    ----------
    slices : SliceSet
        Of all subjects; a tenth of them are held out by all recipes but the linear one, which has its own way.
    info : PriorInfo
    settings : Recipe, AutoencoderSettings, GanSettings or LcmSettings
        Which says the recipe.
    run : TrainingRun

    Returns
    -------
    str or None
        SHA-256 of the weights file, or None if the time ran out first: the same run again goes on.

    Raises
    ------
    BrgmError
        The slices, the settings, the device or the folders cannot be used; one sentence.
    """
    began = time.monotonic()
    if isinstance(settings, Recipe):
        recipe = replace(settings, info=info)
        digest = train_prior(slices, run.work, run.out, recipe, run.report, run.seconds, run.progress)
        if digest is not None:
            write_card(run.out, Card(info, slices.describe(), settings, digest, time.monotonic() - began))
        return digest
    kept, held_out = slices.split(_HELD_OUT)
    prior: StyleGAN2Prior | ConvolutionalManifold
    if isinstance(settings, LcmSettings):
        thinned = kept.taking(np.arange(0, len(kept), settings.every))
        manifold = train_lcm(
            thinned, settings, run.work, info=info, device=run.device, report=run.report, seconds=run.seconds,
            progress=run.progress,
        )  # fmt: skip
        if not manifold.finished:
            return None
        prior = manifold.prior
    else:
        trained = _network(kept, held_out, info, settings, run)
        if trained is None:
            return None
        prior, settings = trained
    if time.monotonic() - began > _LATEST * run.seconds:
        run.report("the training is done; too little time is left for the weights file, which the next run makes")
        return None
    _complete(prior, _targets(held_out), run)
    digest = write_prior(prior, run.out)
    sample_sheet(prior, run.out.with_suffix(".png"))
    write_card(run.out, Card(prior.info, slices.describe(), settings, digest, time.monotonic() - began))
    run.report(f"{run.out.name}: {run.out.stat().st_size / 1e6:.1f} MB, sha256 {digest}")
    return digest


def _network(
    kept: SliceSet, held_out: SliceSet, info: PriorInfo, settings: AutoencoderSettings | GanSettings, run: TrainingRun
) -> tuple[StyleGAN2Prior, AutoencoderSettings | GanSettings] | None:
    """Train the network; the prior on the CPU and the settings as trained with, or None if the time ran out."""
    from napari_brgm.training.autoencoder_settings import AutoencoderSettings

    if isinstance(settings, AutoencoderSettings):
        auto = train_autoencoder(
            kept, settings, run.work, held_out=held_out, info=info, device=run.device, report=run.report,
            progress=run.progress, seconds=run.seconds,
        )  # fmt: skip
        return (auto.prior, settings) if auto.finished else None
    if run.finish:
        network, shown = trained_generator(run.work)
        if network.resolution != kept.framing.resolution:
            raise InputError(
                f"the checkpoint draws {network.resolution} pixels, the slices have {kept.framing.resolution}; "
                "give the options of its training"
            )
        run.report(f"weights of the training as it stands, after {shown:,} images")
        return gan_prior(network, info), replace(settings, images=shown)
    tell = run.progress
    gan = train_gan(
        kept, _with_edge(settings, kept), run.work, held_out=held_out, device=run.device, report=run.report,
        seconds=run.seconds,
        progress=None if tell is None else lambda figures: tell(figures.shown, figures.images),
        warm_start=run.warm_start,
    )  # fmt: skip
    return (gan_prior(gan.network, info), replace(settings, images=gan.shown)) if gan.finished else None


def _complete(prior: StyleGAN2Prior | ConvolutionalManifold, targets: Tensor, run: TrainingRun) -> None:
    """Add what is missing: encoder, what the network cannot draw of held-out slices (M, C, R, R), linearisation."""
    device = pick_device(run.device)
    steps, rate = _STEPS, _RATE
    manifold = prior.info.family == "manifold"
    if manifold:
        steps, rate = _MANIFOLD_STEPS, _MANIFOLD_RATE
        targets = targets[:: max(len(targets) // _MANIFOLD_RESIDUALS, 1)][:_MANIFOLD_RESIDUALS]
    elif prior.parts.encoder is None and prior.channels == 1:
        run.report("training the encoder on drawn images")
        widths = _ENCODER_WIDTHS.get(prior.resolution, (12, 24, 48, 64))
        encoder = gan_encoder(cast("StyleGAN2Prior", prior), widths=widths, device=device)
        prior.parts = replace(prior.parts, encoder=encoder)
    run.report(f"looking for {len(targets)} held-out slices, to know what the network cannot draw")
    placed = prior.to(device)
    unexplained = []
    for part in torch.split(targets, 16):
        found = invert(placed, part, space="w", steps=steps, learning_rate=rate, pull=1.0)
        unexplained.append((part - found.images.cpu()) * 127.5)
    residuals = torch.cat(unexplained)
    field = ResidualField.fit(residuals) if prior.channels == 1 else None
    sigma = _effective_sigma(residuals)
    if manifold and field is not None:
        sigma = min(sigma, _field_sigma(field))
    prior.info = replace(prior.info, representation_sigma=sigma)
    run.report("drawing images, for the straight line through them that restorations start from")
    prior.parts = replace(prior.parts, residual=field, line=linearised(placed))


def _with_edge(settings: GanSettings, slices: SliceSet) -> GanSettings:
    """Augmentation that continues what reaches the frame's border (X-rays) and leaves black what does not."""
    images = slices.images
    border = (float(images[..., 0, :].mean()) + float(images[..., :, 0].mean())) / 2 / slices.white
    return replace(settings, augment=replace(settings.augment, edge="reflect" if border > _DARK else "black"))


def _targets(held_out: SliceSet) -> Tensor:
    """Evenly spread held-out slices (M, C, R, R) in [-1, 1]."""
    stride = max(len(held_out) // _RESIDUALS, 1)
    images = torch.from_numpy(held_out.images[::stride][:_RESIDUALS].astype("float32"))
    return from_grey(images * (255 / held_out.white))


def _field_sigma(field: ResidualField) -> float:
    """The same of a fitted field, whose correlation ends after a few pixels: no offsets of whole images in it."""
    return float((field.std.square().mean() * field.correlation.sum().clamp(min=1.0)) ** 0.5)


def _effective_sigma(residuals: Tensor) -> float:
    """White noise, in grey levels, that weighs like a correlated residual (M, C, R, R) in a sum over pixels.

    The square root of its variance times the area of its correlation in pixels.
    """
    if len(residuals) < 2:
        raise InputError("too few slices are held out to measure what the network cannot draw; use more subjects")
    power = float(residuals.square().mean())
    summed = residuals.sum(dim=(2, 3)).square().mean() / (residuals.shape[-1] * residuals.shape[-2])
    return float(max(power, float(summed)) ** 0.5)
