"""``napari-brgm train``: the recipe of the shipped brain prior, kept stage by stage."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Annotated

import typer

__all__ = ["train"]


def train(
    data: Annotated[
        Path, typer.Option(help="Zip of training slices: subject-NNN/slice-ZZ.jpg, 208 x 176 pixels of 1 mm.")
    ],
    work: Annotated[Path, typer.Option(help="Folder of checkpoints and stages; the same one goes on with a cut run.")],
    out: Annotated[Path, typer.Option(help="Weights file to write (.safetensors).")],
    images: Annotated[
        int | None, typer.Option(help="Slices shown to the network.", show_default="the recipe's")
    ] = None,
    minutes: Annotated[float | None, typer.Option(help="Stop after so long, with everything kept.")] = None,
) -> None:
    """Train the brain prior, or go on with its training; hours on a CPU."""
    from rich.console import Console

    from napari_brgm.training.recipe import Recipe, train_prior

    recipe = Recipe()
    if images is not None:
        recipe = replace(recipe, refine=replace(recipe.refine, images=images))
    console = Console()
    seconds = float("inf") if minutes is None else 60 * minutes
    digest = train_prior(data, work, out, recipe, console.print, seconds)
    if digest is None:
        console.print(f"the time is up; the same command goes on from {work}")
