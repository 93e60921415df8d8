"""The linear recipe: slices to a weights file; every stage is kept and a cut run goes on.

slices [+ posed copies] -> linear-Gaussian part -> cross-fitted latents -> StyleGAN2 correction -> encoder
-> residual field -> file
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, field, replace
from typing import TYPE_CHECKING, Any

import torch
import torch.nn.functional as F
from torch import Tensor

from napari_brgm.errors import InputError
from napari_brgm.likelihood import from_grey
from napari_brgm.priors.encoder import Encoder
from napari_brgm.priors.linear_model import LinearModel
from napari_brgm.priors.parts import Parts
from napari_brgm.priors.prior import LatentStatistics, PriorInfo
from napari_brgm.priors.residual_field import ResidualField
from napari_brgm.priors.stylegan2_prior import StyleGAN2Prior
from napari_brgm.training.crossfit import CrossFit, FoldModels, crossfit, fit_folds, fold_residuals
from napari_brgm.training.encode import train_encoder
from napari_brgm.training.poses import Poses, posed_copies
from napari_brgm.training.refine import RefineSettings, refine
from napari_brgm.training.sheet import sample_sheet
from napari_brgm.training.tuning import tuned_sigma
from napari_brgm.training.work_folder import claim_folder
from napari_brgm.whole_file import whole_file
from napari_brgm.zoo.files import write_prior

if TYPE_CHECKING:
    from pathlib import Path

    from napari_brgm.datasets import SliceSet
    from napari_brgm.priors.stylegan2 import Synthesis

__all__ = ["Recipe", "fitted", "linear_recipe", "train_prior"]

Report = Callable[[str], None]
_FEWEST = 16  # slices to train on
_PER_COMPONENT = 4  # slices (with posed copies), and pixels of the grid: fewer would be learned by heart


@dataclass(frozen=True, slots=True)
class Recipe:
    """What is trained by the linear recipe (the shipped ones: training/shipped.py)."""

    info: PriorInfo
    components: int = 1024  # of the linear part, which are the latents
    grid: int | None = None  # side of the grid of the components; None: the frame's own
    mirror: bool = False  # left-right reflections count as slices (symmetric anatomy only)
    own_share: float = 1.0  # of p(w): the slices as they are; the rest are their reflections
    poses: Poses = field(default_factory=Poses)
    dark: float = 2.0  # grey levels; pixels whose mean is below hold no anatomy, the linear part is zero there
    folds: int = 3  # of subjects, for estimates of slices that a model was not fitted to
    held_out: float = 0.05  # share of the subjects that the network is not trained on, to follow its error
    corruptions: int = 10  # random corruptions of each slice whose estimates the correction learns from
    refine: RefineSettings = field(default_factory=RefineSettings)
    encoder_widths: tuple[int, ...] = (12, 24, 48, 64, 96)
    encoder_steps: int = 4000
    encoder_latents: int = 128
    tuned: bool = False  # the representation error is tuned on the folds; that of the info counts for nothing

    def shortened(self, images: int) -> Recipe:
        """The same recipe with another number of slices shown to the network, and the encoder's in proportion."""
        steps = max(self.encoder_steps * images // self.refine.images, 1)
        return replace(self, refine=self.refine.shortened(images), encoder_steps=min(steps, self.encoder_steps))


def linear_recipe(info: PriorInfo, resolution: int, mirror: bool = False) -> Recipe:
    """Recipe for slices of any kind; its representation error is tuned on folds of their subjects.

    Raises
    ------
    InputError
        The resolution is not a power of two from 32 to 1024.
    """
    if resolution not in (32, 64, 128, 256, 512, 1024):
        raise InputError(f"the linear recipe takes a resolution of 32, 64, ..., 1024 pixels, got {resolution}")
    channels = {8: 128, 16: 96, 32: 64, 64: 32, 128: 16, 256: 8, 512: 6, 1024: 4}
    widths = tuple((r, c) for r, c in channels.items() if r <= resolution)
    stages = ((64, 6_000), (128, 7_900)) if resolution > 128 else ((64, 6_000),) if resolution == 128 else ()
    return Recipe(
        info,
        grid=min(resolution, 128),
        mirror=mirror,
        own_share=0.75 if mirror else 1.0,
        refine=RefineSettings(widths=widths, images=8_400, stages=stages),
        encoder_widths=(12, 24, 48, 64, 96) if resolution <= 128 else (8, 12, 24, 48, 64, 96),
        encoder_steps=480,
        tuned=True,
    )


def fitted(recipe: Recipe, slices: SliceSet, report: Report = print) -> Recipe:
    """The recipe with no more components than a quarter of the slices, with copies, and of the pixels not always black.

    Raises
    ------
    InputError
        The slices are too few, of too few subjects, or in colour.
    """
    if slices.images.shape[1] != 1:
        raise InputError("the linear recipe takes grey slices; use the gan recipe for colour")
    if len(slices) < _FEWEST:
        raise InputError(f"{len(slices)} slices are too few to train on; give at least {_FEWEST}")
    if len(slices.subject_names) < recipe.folds:
        raise InputError(
            f"there are slices of {len(slices.subject_names)} subject(s); the linear recipe needs those of at least "
            f"{recipe.folds}, each in a folder of its own"
        )
    shown = len(slices) * (1 + recipe.poses.copies)
    alive = float((slices.images.max(axis=0) > recipe.dark * slices.white / 255).mean())
    pixels = round(alive * (recipe.grid or slices.framing.resolution) ** 2)  # beyond them components are empty
    most = min(shown, pixels) // _PER_COMPONENT
    if recipe.components <= most:
        return recipe
    report(
        f"{most} components instead of {recipe.components}, for {shown} slices with their copies, {pixels} pixels that "
        "are not always black"
    )
    return replace(
        recipe,
        components=most,
        encoder_latents=min(recipe.encoder_latents, most),
        refine=replace(recipe.refine, style_latents=min(recipe.refine.style_latents, most)),
    )


def train_prior(
    slices: SliceSet, work: Path, out: Path, recipe: Recipe, report: Report = print, seconds: float = float("inf"),
    progress: Callable[[int, int], None] | None = None,
) -> str | None:  # fmt: skip
    """Run the recipe, or go on with it.

    Parameters
    ----------
    slices : SliceSet
        Grey, 8 bits.
    work : Path
        Folder of the stages' files; give the same one to go on.
    out : Path
        Weights file to write.
    report : callable
        Gets a line of progress.
    seconds : float
        Stop after so long, with everything kept.
    progress : callable, optional
        Called with (slices shown to the network, slices in all).

    Returns
    -------
    str or None
        SHA-256 of the weights file, or None if the time ran out before it could be written.

    Raises
    ------
    InputError
        The slices are too few, or in colour, or ``work`` holds the training of others.
    """
    began = time.monotonic()

    def left() -> float:
        return seconds - (time.monotonic() - began)

    recipe = fitted(recipe, slices, report)
    claim_folder(work, "linear", slices, _fixed(recipe))
    grey = torch.from_numpy(slices.images // (1 if slices.white == 255 else 257)).to(torch.uint8)  # (N, 1, R, R)
    own = len(grey)  # slices that are not copies
    subjects = torch.from_numpy(slices.subjects).repeat(1 + recipe.poses.copies)
    report(f"{own} slices of {len(slices.subject_names)} subjects, {recipe.poses.copies} posed copies of each")
    grey = torch.cat([grey, posed_copies(grey, recipe.poses)])
    images = from_grey(grey.float())
    grid = recipe.grid or images.shape[-1]

    def linear() -> dict[str, Tensor]:
        model = LinearModel.fit(images, recipe.components, mirror=recipe.mirror, grid=grid)
        support = F.avg_pool2d(model.mean + 1, images.shape[-1] // grid) * 127.5 > recipe.dark
        return {"mean": model.mean, "basis": model.coarse * support, "noise": torch.tensor(model.noise_variance)}

    part = _kept(work / "linear.pt", linear, report)
    model = LinearModel(part["mean"], part["basis"], float(part["noise"]))

    def apart() -> dict[str, Tensor]:
        found = fit_folds(
            images, subjects, recipe.components, mirror=recipe.mirror, grid=grid, folds=recipe.folds
        )  # fmt: skip
        return {"fold_of": found.fold_of, "means": found.means, "bases": found.bases}

    folds = FoldModels(**_kept(work / "folds.pt", apart, report))
    small = F.avg_pool2d(images, images.shape[-1] // grid)
    if recipe.tuned:
        recipe = _with_sigma(recipe, small[:own], folds.of(own), images.shape[-1] // grid, work, report)
    sigma = recipe.info.representation_sigma / (images.shape[-1] // grid)  # of a pixel of the grid

    def estimates() -> dict[str, Tensor]:
        pairs = crossfit(small, model, folds, mirror=recipe.mirror, sigma=sigma, corruptions=recipe.corruptions)
        return {"latents": pairs.latents, "complete": pairs.complete}

    pairs = CrossFit(**_kept(work / "crossfit.pt", estimates, report))

    def figures(found: dict[str, float], net: Synthesis) -> None:
        report("  ".join(f"{name} {value:.4g}" for name, value in found.items()))
        latents = LatentStatistics.standard(recipe.components)
        sample_sheet(StyleGAN2Prior(net, latents, recipe.info, base=model), work / "samples.png", 2, 8)

    watched = torch.randperm(len(slices.subject_names), generator=torch.Generator().manual_seed(1))
    watched = watched[: round(recipe.held_out * len(watched))]
    network = refine(
        model, grey, pairs, recipe.refine, work, figures, left(), progress=progress,
        held_out=torch.isin(subjects, watched).nonzero()[:, 0] if len(watched) else None,
    )  # fmt: skip
    if left() <= 0:
        return None

    def encoder() -> dict[str, Tensor]:
        latents = pairs.complete[: len(images), : recipe.encoder_latents]
        net = train_encoder(
            grey, latents, widths=recipe.encoder_widths, steps=recipe.encoder_steps,
            report=lambda step, loss: report(f"encoder step {step}  loss {loss:.3f}"),
        )  # fmt: skip
        return dict(net.state_dict())

    features = Encoder.from_state_dict(_kept(work / "encoder.pt", encoder, report))

    def residual() -> dict[str, Tensor]:
        unexplained = fold_residuals(images[:own], folds.of(own), recipe.info.representation_sigma)
        fitted = ResidualField.fit(unexplained)
        return {"std": fitted.std, "correlation": fitted.correlation}

    prior = StyleGAN2Prior(
        network,
        LatentStatistics.of_nearly_symmetric(pairs.complete[: len(images)].float(), _signs(model), recipe.own_share),
        recipe.info,
        base=model,
        parts=Parts(residual=ResidualField(**_kept(work / "residual.pt", residual, report)), encoder=features),
    )
    digest = write_prior(prior, out)
    sample_sheet(prior, out.with_suffix(".png"))
    report(f"{out.name}: {out.stat().st_size / 1e6:.1f} MB, sha256 {digest}")
    return digest


def _with_sigma(
    recipe: Recipe, small: Tensor, folds: FoldModels, shrunk: int, work: Path, report: Report
) -> Recipe:  # fmt: skip
    """The recipe with the representation error that slices (N, 1, r, r) of the folds ask for; kept in ``work``."""

    def figures() -> dict[str, Tensor]:
        found = tuned_sigma(small, folds)
        return {"sigma": torch.tensor(found.sigma), "levels": torch.tensor(found.levels),
                "errors": torch.tensor(found.errors)}  # fmt: skip

    found = _kept(work / "sigma.pt", figures, report)
    sigma = float(found["sigma"]) * shrunk  # of a pixel of the frame
    report(f"what it cannot draw counts as noise of {sigma:.0f} grey levels, as held-out folds of the subjects ask for")
    return replace(recipe, info=replace(recipe.info, representation_sigma=round(sigma, 2)))


def _fixed(recipe: Recipe) -> dict[str, Any]:
    """Settings that the stages depend on; how long and how fast the network learns may change on the way."""
    plain = asdict(recipe)
    info, network = plain.pop("info"), plain.pop("refine")
    del plain["encoder_steps"]
    kept = {key: network[key] for key in ("widths", "style_latents", "seed")}
    if not plain["tuned"]:
        del plain["tuned"]  # folders of earlier versions do not name it
    return plain | kept | {"representation_sigma": info["representation_sigma"]}


def _signs(model: LinearModel) -> Tensor:
    """(K,) +1 for even components, -1 for odd ones: what reflection does to the latents."""
    return (model.coarse * model.coarse.flip(-1)).sum(dim=(1, 2, 3)).sign()


def _kept(path: Path, make: Callable[[], dict[str, Tensor]], report: Report) -> dict[str, Tensor]:
    """Tensors of a stage: from its file, or made and kept."""
    if path.exists():
        found: dict[str, Tensor] = torch.load(path, weights_only=True)
        return found
    began = time.monotonic()
    made = make()
    with whole_file(path) as draft:
        torch.save(made, draft)
    report(f"{path.stem}: {time.monotonic() - began:.0f} s")
    return made
