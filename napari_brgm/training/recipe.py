"""The recipe of the brain prior, from a zip of slices to a weights file; every stage is kept and a cut run goes on.

slices -> linear-Gaussian part -> cross-fitted latents -> StyleGAN2 correction -> encoder -> residual field -> file
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from napari_brgm.errors import InputError
from napari_brgm.evaluation.dataset import read_slices
from napari_brgm.likelihood import from_grey
from napari_brgm.priors.encoder import Encoder
from napari_brgm.priors.linear_gaussian import LinearGaussian
from napari_brgm.priors.prior import LatentStatistics, PriorInfo
from napari_brgm.priors.residual_field import ResidualField
from napari_brgm.priors.stylegan2_prior import StyleGAN2Prior
from napari_brgm.training.crossfit import CrossFit, crossfit, fold_residuals
from napari_brgm.training.encode import train_encoder
from napari_brgm.training.refine import RefineSettings, refine
from napari_brgm.training.sheet import sample_sheet
from napari_brgm.zoo.files import write_prior

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["Recipe", "train_prior"]

Report = Callable[[str], None]
_BRAIN = PriorInfo("brain-axial-128", "MR T1", "axial", 1.5, bright_level=230.0, representation_sigma=8500.0**0.5)


@dataclass(frozen=True, slots=True)
class Recipe:
    """What is trained; the defaults are those of the shipped brain-axial-128."""

    info: PriorInfo = _BRAIN
    components: int = 512  # of the linear part, which are the latents
    mirror: bool = True  # left-right reflections count as slices
    own_share: float = (
        0.75  # of p(w): the slices as they are; the rest are their reflections (heads are nearly symmetric)
    )
    dark: float = 2.0  # grey levels; pixels whose mean is below hold no anatomy, the linear part is zero there
    corruptions: int = 40  # random corruptions of each slice whose estimates the correction learns from
    refine: RefineSettings = field(default_factory=RefineSettings)
    encoder_steps: int = 4000
    encoder_latents: int = 128


def train_prior(
    archive: Path, work: Path, out: Path, recipe: Recipe, report: Report = print, seconds: float = float("inf")
) -> str | None:
    """Run the recipe, or go on with it.

    Parameters
    ----------
    archive : Path
        Zip of training slices (see evaluation/dataset.py).
    work : Path
        Folder of the stages' files; give the same one to go on.
    out : Path
        Weights file to write.
    report : callable
        Gets a line of progress.
    seconds : float
        Stop after so long, with everything kept.

    Returns
    -------
    str or None
        SHA-256 of the weights file, or None if the time ran out before it could be written.

    Raises
    ------
    ScanError
        The archive cannot be read.
    InputError
        It holds too few slices.
    """
    began = time.monotonic()

    def left() -> float:
        return seconds - (time.monotonic() - began)

    work.mkdir(parents=True, exist_ok=True)
    slices = read_slices(archive)
    grey = torch.from_numpy(slices.images)[:, None].round().clamp(0, 255).to(torch.uint8)  # (N, 1, R, R)
    names = sorted({subject for subject, _ in slices.keys})
    subjects = torch.tensor([names.index(subject) for subject, _ in slices.keys])  # (N,), counted from 0
    images = from_grey(grey.float())
    if len(images) <= recipe.components:
        raise InputError(f"{len(images)} slices cannot give {recipe.components} latents; use a larger set of slices")
    report(f"{len(images)} slices of {len(names)} subjects")

    def linear() -> dict[str, Tensor]:
        model = LinearGaussian.fit(images, recipe.components, mirror=recipe.mirror)
        support = grey.float().mean(dim=0)[0] > recipe.dark
        return {"mean": model.mean, "basis": model.basis * support, "noise": torch.tensor(model.noise_variance)}

    part = _kept(work / "linear.pt", linear, report)
    model = LinearGaussian(part["mean"], part["basis"], float(part["noise"]), recipe.info)

    def estimates() -> dict[str, Tensor]:
        pairs = crossfit(images, subjects, model, corruptions=recipe.corruptions)
        return {"latents": pairs.latents, "complete": pairs.complete}

    pairs = CrossFit(**_kept(work / "crossfit.pt", estimates, report))

    def figures(found: dict[str, float], _: object) -> None:
        report("  ".join(f"{name} {value:.4g}" for name, value in found.items()))

    network = refine(model, grey, pairs, recipe.refine, work, figures, left())
    if left() <= 0:
        return None

    def encoder() -> dict[str, Tensor]:
        latents = pairs.complete[: len(images), : recipe.encoder_latents]
        net = train_encoder(
            grey, latents, steps=recipe.encoder_steps,
            report=lambda step, loss: report(f"encoder step {step}  loss {loss:.3f}"),
        )  # fmt: skip
        return dict(net.state_dict())

    features = Encoder.from_state_dict(_kept(work / "encoder.pt", encoder, report))

    def residual() -> dict[str, Tensor]:
        left_over = fold_residuals(images, subjects, recipe.components, recipe.info.representation_sigma)
        fitted = ResidualField.fit(left_over)
        return {"std": fitted.std, "correlation": fitted.correlation}

    prior = StyleGAN2Prior(
        network,
        LatentStatistics.of_nearly_symmetric(pairs.complete[: len(images)].float(), _signs(model), recipe.own_share),
        recipe.info,
        base=model,
        encoder=features,
        residual=ResidualField(**_kept(work / "residual.pt", residual, report)),
    )
    digest = write_prior(prior, out)
    sample_sheet(prior, out.with_suffix(".png"))
    report(f"{out.name}: {out.stat().st_size / 1e6:.1f} MB, sha256 {digest}")
    return digest


def _signs(model: LinearGaussian) -> Tensor:
    """(K,) +1 for even components, -1 for odd ones: what reflection does to the latents."""
    return (model.basis * model.basis.flip(-1)).sum(dim=(1, 2, 3)).sign()


def _kept(path: Path, make: Callable[[], dict[str, Tensor]], report: Report) -> dict[str, Tensor]:
    """Tensors of a stage: from its file, or made and kept."""
    if path.exists():
        found: dict[str, Tensor] = torch.load(path, weights_only=True)
        return found
    began = time.monotonic()
    made = make()
    partial = path.with_suffix(".part")
    torch.save(made, partial)
    partial.replace(path)
    report(f"{path.stem}: {time.monotonic() - began:.0f} s")
    return made
