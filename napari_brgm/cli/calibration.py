"""``napari-brgm evaluate calibration``: thin over the evaluation package."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from napari_brgm.cli import options
from napari_brgm.cli.options import data_folder, names

__all__ = ["calibration"]


def calibration(
    out: options.Out,
    priors: options.Priors = None,
    data: options.Data = None,
    slices: Annotated[int, typer.Option(min=2, help="Held-out images of each set, evenly spaced.")] = 50,
    methods: Annotated[str, typer.Option(help="Comma-separated: map, laplace, vi.")] = "map",
    rival_slices: Annotated[
        int,
        typer.Option(min=0, help="Slices on which VI with the released code's entropy is tried (501 steps a task)."),
    ] = 2,
    rivals: Annotated[
        str | None,
        typer.Option(help="Comma-separated priors on which it is tried.", show_default="all that have a linear part"),
    ] = None,
    samples: options.Samples = 32,
    seed: options.Seed = 0,
    device: options.Device = "auto",
    write: Annotated[
        Path | None, typer.Option(help="Registry (registry.json) to put the factors into.", show_default=False)
    ] = None,
) -> None:
    """Measure how well intervals cover held-out pixels, and compute the factors that correct them.

    Seven masks, super-resolution x2, x4, x8 and painted strokes. Factors are computed on half of the validation
    subjects, and all figures on the other half. Writes results.md, results.json, calibration.json (the factors) and
    plots. A run that was stopped goes on where it was; progress.log has a line for each restoration.
    """
    from napari_brgm.cli.progress import count_bar
    from napari_brgm.cli.restoration import ShellOutputs
    from napari_brgm.evaluation import calibration as table
    from napari_brgm.evaluation.calibration_measure import HowToCalibrate
    from napari_brgm.evaluation.calibration_report import put_into_registry
    from napari_brgm.zoo.registry import registered

    how = HowToCalibrate(
        slices=slices, rival_slices=rival_slices, rivals=None if rivals is None else names(rivals),
        methods=names(methods), samples=samples, seed=seed, device=device,
    )  # fmt: skip
    chosen = tuple(registered()) if priors is None else names(priors)
    with ShellOutputs(out, (), overwrite=True), count_bar() as tell:
        report = table.run(data_folder(data), out, chosen, tell, how=how)
    if write is not None:
        for name in put_into_registry(write, report):
            typer.echo(f"{name}: factors put into {write}")
    typer.echo((out / "results.md").read_text())
