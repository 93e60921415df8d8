"""How an adversarial training goes: figures in a line, samples in a picture, distances to real and unseen slices."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from napari_brgm.evaluation.frechet import frechet_distance
from napari_brgm.inference.inversion import invert
from napari_brgm.likelihood import to_grey
from napari_brgm.priors.prior import PriorInfo
from napari_brgm.priors.stylegan2_prior import StyleGAN2Prior, mapped_statistics
from napari_brgm.whole_file import whole_file

if TYPE_CHECKING:
    from pathlib import Path

    import numpy.typing as npt

    from napari_brgm.priors.stylegan2 import StyleGAN2
    from napari_brgm.training.slice_bank import SliceBank

__all__ = ["GanEvaluation", "GanFigures", "Judge", "draw_samples", "evaluate_gan", "spread_slices", "write_samples"]

_CHUNK = 32  # images drawn at a time
_MAPPED = 2000  # latents whose statistics start the inversion


@dataclass(frozen=True, slots=True)
class GanFigures:
    """Figures of a training; ``str`` is a line of them.

    Attributes
    ----------
    shown, images : int
        Real images shown so far, and in all.
    images_per_second : float
    values : dict of str to float
        Means since the last figures: losses, logits, ``r1`` (squared gradient norm), ``path_length``,
        ``path_penalty``, gradient norms; and as they stand: ``ada`` (probability of augmentation), ``overfitting``
        (r_t), ``path_mean``; of the last evaluation: ``rmse`` and ``frechet``.
    """

    shown: int
    images: int
    images_per_second: float
    values: dict[str, float]

    def __str__(self) -> str:
        found = "  ".join(f"{name} {value:.3g}" for name, value in self.values.items())
        done = f"{self.shown:,} of {self.images:,} images"
        return f"{done}, {self.images_per_second:.0f}/s  {found}"


@dataclass(frozen=True, slots=True)
class GanEvaluation:
    """How the averaged network is judged.

    Attributes
    ----------
    samples : int
        For the Fréchet distance.
    inversion_steps : int
        Adam steps that look for held-out slices in W+.
    rows, columns : int
        Of the picture of samples.
    """

    samples: int = 512
    inversion_steps: int = 100
    rows: int = 6
    columns: int = 8


def spread_slices(bank: SliceBank, count: int) -> Tensor:
    """At most ``count`` slices (n, C, R, R) in [-1, 1], evenly spread over the bank, for a fixed comparison."""
    index = torch.linspace(0, len(bank) - 1, min(count, len(bank))).round().long()
    return bank.take(index.to(bank.images.device))


def draw_samples(net: StyleGAN2, n: int, seed: int) -> Tensor:
    """Images (n, C, R, R) of the first n random z of ``seed``, without noise."""
    z = torch.randn(n, net.mapping.z_dim, generator=torch.Generator().manual_seed(seed))
    device = net.mapping.w_avg.device
    parts = range(0, n, _CHUNK)
    with torch.no_grad():
        return torch.cat([net.synthesis(net.mapping(z[i : i + _CHUNK].to(device)), "none") for i in parts])


def evaluate_gan(
    net: StyleGAN2, real: Tensor, held_out: Tensor | None, evaluation: GanEvaluation, seed: int = 0
) -> dict[str, float]:
    """Judge a network.

    Parameters
    ----------
    net : StyleGAN2
    real : (N, C, R, R) Tensor
        Training slices in [-1, 1].
    held_out : (M, C, R, R) Tensor or None
        Slices of subjects that are not trained on.
    evaluation : GanEvaluation
    seed : int
        Of the samples.

    Returns
    -------
    dict
        ``frechet``: distance of samples and training slices (evaluation/frechet.py). ``rmse``: mean error, in grey
        levels 0..255, of the nearest image that the inversion finds in W+ for each held-out slice.
    """
    found = {"frechet": frechet_distance(_grey(draw_samples(net, evaluation.samples, seed)), _grey(real))}
    if held_out is not None:
        prior = StyleGAN2Prior(net.synthesis, mapped_statistics(net.mapping, _MAPPED), PriorInfo("in training"))
        inversion = invert(prior, held_out, space="w+", steps=evaluation.inversion_steps)
        found["rmse"] = float(inversion.rmse.mean())
    return found


def write_samples(net: StyleGAN2, path: Path, evaluation: GanEvaluation, seed: int = 0) -> None:
    """Write a picture of samples of fixed z."""
    rows, columns, side = evaluation.rows, evaluation.columns, net.resolution
    grey = to_grey(draw_samples(net, rows * columns, seed)).clamp(0, 255).byte().cpu().numpy()  # (n, C, R, R)
    tiles = grey.reshape(rows, columns, -1, side, side).transpose(0, 3, 1, 4, 2)
    sheet = tiles.reshape(rows * side, columns * side, -1)
    with whole_file(path) as draft:
        Image.fromarray(np.ascontiguousarray(sheet[:, :, 0] if sheet.shape[2] == 1 else sheet)).save(draft, "PNG")


@dataclass(frozen=True, slots=True)
class Judge:
    """What the averaged network is compared with."""

    real: Tensor
    held_out: Tensor | None
    evaluation: GanEvaluation
    seed: int

    def __call__(self, net: StyleGAN2, picture: Path) -> dict[str, float]:
        """Write the picture of samples; returns the figures of ``evaluate_gan``."""
        write_samples(net, picture, self.evaluation, self.seed)
        return evaluate_gan(net, self.real, self.held_out, self.evaluation, self.seed)


def _grey(images: Tensor) -> npt.NDArray[np.floating]:
    """(N, R, R) grey levels."""
    found: npt.NDArray[np.floating] = to_grey(images).mean(dim=1).cpu().numpy()
    return found
