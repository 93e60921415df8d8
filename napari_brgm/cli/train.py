"""``napari-brgm train``: slices to a weights file by one of five recipes, kept as it goes."""

from __future__ import annotations

import time
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryFile
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from napari_brgm.cli.options import Device
from napari_brgm.cli.progress import training_bar
from napari_brgm.cli.terminal import say
from napari_brgm.cli.train_finish import FinishWish, say_notes
from napari_brgm.cli.train_own import OwnWish
from napari_brgm.errors import InputError, OutputError
from napari_brgm.reason import reason_of
from napari_brgm.scan import Plane

if TYPE_CHECKING:
    from napari_brgm.training.autoencoder_settings import AutoencoderSettings
    from napari_brgm.training.gan_settings import GanSettings
    from napari_brgm.training.lcm_settings import LcmSettings
    from napari_brgm.training.recipe import Recipe

__all__ = ["train"]

_OF_LIKE = ("modality", "plane", "resolution", "spacing_mm")
_OF_LCM = ("latents", "latent_size", "every")
_OF_GAN = ("r1_gamma", "compact", "compiled", "finish")
_NOT_OF_FINISH = ("name", *_OF_LIKE)  # the prior has them


def train(
    context: typer.Context,
    data: Annotated[
        Path, typer.Option(help="Zip or folder of images, NIfTI volume(s) or DICOM series; one folder a subject.")
    ],
    out: Annotated[Path, typer.Option(help="Weights file to write (.safetensors); its card and samples go beside it.")],
    work: Annotated[
        Path | None,
        typer.Option(
            help="Folder of checkpoints and stages; the same one goes on with a cut run.",
            show_default="NAME-work beside --out",
        ),
    ] = None,
    recipe: Annotated[
        Literal["linear", "autoencoder", "gan", "lcm", "finish"],
        typer.Option(
            help="linear, autoencoder (hours) and lcm (an hour) suit a CPU, gan needs a GPU. finish gives samples of "
            "the prior --like the texture of scans (minutes on a GPU, a day or more on a CPU)."
        ),
    ] = "linear",
    like: Annotated[
        str | None,
        typer.Option(
            help="Frame, pixel size and kind of a shipped prior, for example brain-axial-256. finish: the prior, "
            "by its name or weights file.",
            metavar="NAME",
        ),
    ] = None,
    name: Annotated[str | None, typer.Option(help="Name of the prior.", show_default="that of the file")] = None,
    modality: Annotated[
        str, typer.Option(help="For example 'MR T1', 'CT', 'CR'.", show_default="by the DICOM headers")
    ] = "",
    plane: Annotated[
        Plane | None,
        typer.Option(help="axial, coronal or sagittal: how volumes are cut.", show_default="as most were acquired"),
    ] = None,
    resolution: Annotated[int, typer.Option(help="Side of the frame, pixels.")] = 128,
    spacing_mm: Annotated[
        float | None,
        typer.Option(
            help="Pixel size of the frame; 0: the images' own.",
            show_default="volumes: as the largest slices need; images: 0",
        ),
    ] = None,
    pixel_mm: Annotated[float | None, typer.Option(help="Pixel size of plain images.", show_default="as it is")] = None,
    slices: Annotated[str | None, typer.Option(help="Range of slices of a volume, for example 60:100.")] = None,
    mirror: Annotated[bool, typer.Option(help="Left and right may be exchanged: reflections count as slices.")] = False,
    images: Annotated[
        int | None, typer.Option(help="Slices shown to the network.", show_default="the recipe's", min=1)
    ] = None,
    batch: Annotated[int | None, typer.Option(help="Slices a step.", show_default="the recipe's", min=1)] = None,
    learning_rate: Annotated[
        float | None, typer.Option(help="Peak of the learning rate.", show_default="the recipe's", min=1e-6, max=1.0)
    ] = None,
    latents: Annotated[
        Literal["convolutional", "free", "vector", "encoder"],
        typer.Option(help="lcm: latents of an image; the last three are the paper's rivals OptZ, GLO and autoencoder."),
    ] = "convolutional",
    latent_size: Annotated[
        int | None,
        typer.Option(
            help="lcm: side of the map (free), length of the vector (vector, encoder).",
            show_default="32, or 256",
            min=1,
        ),
    ] = None,
    every: Annotated[
        int | None, typer.Option(help="lcm: use one of so many slices.", show_default="the recipe's, or 1", min=1)
    ] = None,
    r1_gamma: Annotated[
        float | None, typer.Option(help="gan: weight of the gradient penalty.", show_default="by size", min=0.0)
    ] = None,
    compact: Annotated[bool, typer.Option(help="gan: smaller checkpoints, resuming not bit for bit.")] = False,
    compiled: Annotated[bool, typer.Option(help="gan: compile the networks (minutes at each start).")] = False,
    warm_start: Annotated[Path | None, typer.Option(help="gan, finish: weights to start from, where they fit.")] = None,
    seed: Annotated[int, typer.Option(help="Of everything random.", min=0)] = 0,
    finish: Annotated[
        bool, typer.Option(help="gan: no more training; write the weights of the last checkpoint as it stands.")
    ] = False,
    survey: Annotated[
        bool,
        typer.Option(
            "--survey", help="linear, lcm: only say what the data are and draw contact-sheet.png in the work folder."
        ),
    ] = False,
    minutes: Annotated[float | None, typer.Option(help="Stop after so long, with everything kept.", min=0)] = None,
    device: Device = "auto",
) -> None:
    """Train a prior, or go on with its training: the same command again goes on where it stopped."""
    began = time.monotonic()
    work = work or out.with_name(f"{out.stem}-work")
    from napari_brgm.datasets import Framing, cached, holds_images
    from napari_brgm.engine.devices import pick_device
    from napari_brgm.priors.prior import PriorInfo
    from napari_brgm.training.autoencoder_settings import autoencoder_settings
    from napari_brgm.training.gan_settings import GanSettings
    from napari_brgm.training.lcm_settings import lcm_settings
    from napari_brgm.training.recipe import Recipe, fitted, linear_recipe
    from napari_brgm.training.shipped import MANIFOLDS, SHIPPED
    from napari_brgm.training.train import TrainingRun
    from napari_brgm.training.train import train as run_training
    from napari_brgm.training.work_folder import claim_folder

    if like is not None:
        _refuse(context, _OF_LIKE, "is what --like decides; leave one of the two out")
    if recipe != "gan":
        _refuse(context, _OF_GAN, "belongs to --recipe gan; leave it out, or choose that recipe")
    if recipe not in ("gan", "finish"):
        _refuse(context, ("warm_start",), "belongs to --recipe gan or finish; leave it out, or choose one of those")
    if like is not None or recipe not in ("linear", "lcm"):
        _refuse(context, ("survey",), "belongs to data of one's own and the recipes linear and lcm; leave it out")
    if recipe != "lcm":
        _refuse(context, _OF_LCM, "belongs to --recipe lcm; leave it out, or choose that recipe")
    else:
        _refuse(context, ("mirror",), "counts for nothing in the lcm recipe; leave it out, or choose another recipe")
    if recipe == "linear" and device not in ("auto", "cpu"):
        raise InputError("the linear recipe runs on the CPU; leave --device out, or choose another recipe")
    pick_device(device)
    _check_out(out)
    changes = {"images": images, "batch": batch}
    given: dict[str, Any] = {key: value for key, value in changes.items() if value is not None} | {"seed": seed}
    if recipe == "finish":
        _refuse(context, _NOT_OF_FINISH, "is what the prior of --like has; leave it out")
        seconds = float("inf") if minutes is None else 60 * minutes
        finishing = FinishWish(
            like, data, work, out, mirror, pixel_mm, _range(slices), learning_rate, given, seconds, device, warm_start
        )
        finishing.train(began)
        return
    shipped, manifold = SHIPPED.get(like or ""), MANIFOLDS.get(like or "")
    if like is not None and shipped is None and manifold is None:
        raise InputError(f"no shipped prior is called {like!r}; choose from {', '.join([*SHIPPED, *MANIFOLDS])}")
    if learning_rate is not None:
        given["learning_rate"] = learning_rate
    if like is None and recipe in ("linear", "lcm"):
        wish = OwnWish(
            data, work, out, name or out.stem, modality, plane, resolution, spacing_mm, pixel_mm, _range(slices), seed,
            float("inf") if minutes is None else 60 * minutes, device,
        )  # fmt: skip

        def make(info: PriorInfo) -> Recipe | LcmSettings:
            if recipe == "lcm":
                return replace(
                    lcm_settings(resolution), latents=latents, latent_size=latent_size, every=every or 1, **given
                )
            linear = linear_recipe(info, resolution, mirror)
            linear = linear.shortened(images or linear.refine.images)
            return replace(linear, refine=replace(linear.refine, **given))

        wish.train(recipe, make, began, survey)
        return
    spacing_mm = spacing_mm or 0.0
    plane = plane or "axial"
    model = shipped or manifold
    framing = Framing(resolution, spacing_mm) if model is None else model.framing
    info = PriorInfo(out.stem, modality, plane, spacing_mm)
    if shipped is not None:
        info = shipped.recipe.info
    elif manifold is not None:
        info = manifold.info
    info = replace(info, name=name or out.stem)
    mirror = mirror or (shipped is not None and shipped.recipe.mirror)
    settings: Recipe | AutoencoderSettings | GanSettings | LcmSettings
    if recipe == "linear":
        linear = (
            linear_recipe(info, framing.resolution, mirror) if shipped is None else replace(shipped.recipe, info=info)
        )
        linear = linear.shortened(images or linear.refine.images)
        settings = replace(linear, refine=replace(linear.refine, **given))
    elif recipe == "lcm":
        fitting = lcm_settings(framing.resolution) if manifold is None else manifold.settings
        settings = replace(fitting, latents=latents, latent_size=latent_size, every=every or fitting.every, **given)
    elif recipe == "autoencoder":
        settings = replace(autoencoder_settings(framing.resolution, mirror=mirror), **given)
    else:
        settings = replace(GanSettings(mirror=mirror, compact=compact, compiled=compiled, r1_gamma=r1_gamma), **given)
    if pixel_mm is None and model is not None and holds_images(data):  # volumes tell theirs
        pixel_mm = model.pixel_mm
    found = cached(data, framing, work / "slices", pixel_mm=pixel_mm, plane=plane, slices=_range(slices))
    say_notes(found.notes, work / "slices")
    seconds = float("inf") if minutes is None else max(60 * minutes - (time.monotonic() - began), 0.0)
    with training_bar() as (tell, progress):
        if isinstance(settings, Recipe):
            settings = fitted(settings, found, tell)  # here too, so that the card says what was trained
        else:  # whose checkpoints know their settings themselves
            claim_folder(work, recipe, found, {})
        run = TrainingRun(work, out, device, seconds, tell, progress, warm_start, finish)
        digest = run_training(found, info, settings, run)
    if digest is None:
        say(f"the time is up; the same command goes on from {work}")


def _refuse(context: typer.Context, names: tuple[str, ...], why: str) -> None:
    """Refuse options that were given and would count for nothing."""
    for name in names:
        source = context.get_parameter_source(name)
        if source is not None and source.name == "COMMANDLINE":
            raise InputError(f"--{name.replace('_', '-')} {why}")


def _check_out(out: Path) -> None:
    """Look whether the weights can be written, now and not after hours."""
    if out.suffix != ".safetensors":
        raise InputError(f"--out must end in .safetensors, got {out.name}")
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        with TemporaryFile(dir=out.parent):
            pass
    except OSError as error:
        raise OutputError(f"cannot write into {out.parent}: {reason_of(error)}; choose another --out") from error
    if out.is_dir():
        raise OutputError(f"{out} is a folder; choose another --out")


def _range(text: str | None) -> tuple[int, int] | None:
    if text is None:
        return None
    start, colon, stop = text.partition(":")
    if not (colon and start.strip().isdecimal() and stop.strip().isdecimal()):
        raise InputError(f"the range of slices must look like 60:100, got {text!r}")
    return int(start), int(stop)
