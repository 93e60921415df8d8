"""``evaluate train-rivals``: networks that are trained for the one task, to be measured beside the priors."""

from __future__ import annotations

from typing import Annotated

import typer

from napari_brgm.cli import options
from napari_brgm.cli.options import data_folder, names
from napari_brgm.cli.terminal import say_path

__all__ = ["train_rivals"]


def train_rivals(
    out: options.Out,
    data: options.Data = None,
    minutes: Annotated[
        float, typer.Option(min=0, help="Of one core, for each network; those of earlier runs count.")
    ] = 25.0,
    nets: Annotated[
        str | None,
        typer.Option(
            help="Comma-separated: inpaint-pixel, sr-pixel, inpaint-adversarial, sr-adversarial, denoiser.",
            show_default="all",
        ),
    ] = None,
    set_name: Annotated[
        str, typer.Option("--set", help="Whose training slices: brain-128, brain-256, xray-128, xray-256.")
    ] = "brain-128",
    seed: options.Seed = 0,
) -> None:
    """Train the rivals that know one task: super-resolution and in-painting, by L1 and adversarially.

    They stand for SRFBN, ESRGAN and SN-PatchGAN; the denoiser is what a diffusion sampler goes by (method diffpir of
    evaluate). Writes NAME.safetensors and NAME.json for each, anew every two minutes
    of work; the same command goes on where it stopped, and more --minutes make a training longer.
    """
    from napari_brgm.cli.progress import count_bar
    from napari_brgm.cli.target import ShellOutputs
    from napari_brgm.evaluation.supervised.role import ROLES
    from napari_brgm.training.supervised import SupervisedTraining
    from napari_brgm.training.supervised_state import SupervisedSettings

    chosen = tuple(role.name for role in ROLES) if nets is None else names(nets)
    with ShellOutputs(out, (), overwrite=True), count_bar() as tell:
        training = SupervisedTraining(out, set_name, minutes, SupervisedSettings(seed=seed))
        training.run(data_folder(data), chosen, tell)
    for name in chosen:
        say_path(out / f"{name}.safetensors")
