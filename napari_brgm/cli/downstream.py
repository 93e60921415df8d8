"""``evaluate downstream``: thin over ``evaluation/downstream``."""

from __future__ import annotations

from typing import Annotated

import typer

from napari_brgm.cli import options
from napari_brgm.cli.options import data_folder, names
from napari_brgm.cli.terminal import say, say_path

__all__ = ["downstream"]


def downstream(
    out: options.Out,
    prior: options.PriorName = options.DEFAULT_PRIOR,
    data: options.Data = None,
    tasks: Annotated[str, typer.Option(help="Comma-separated: mask-0 .. mask-6, x2, x4, x8.")] = "mask-0,mask-5,x4",
    slices: Annotated[int, typer.Option(min=4, help="Held-out images, evenly spaced.")] = 43,
    methods: Annotated[str, typer.Option(help="Rivals, comma-separated, by their names in evaluate.")] = (
        "biharmonic,bicubic,linear"
    ),
    samples: options.SampleCount = 32,
    seed: options.Seed = 0,
    device: options.Device = "auto",
) -> None:
    """What a classifier and a measurement of areas say of restored slices, beside what they say of the true ones.

    Brain slices: demented or not, by a classifier of true training slices, and the area of the ventricles. Chest X-rays
    (--prior chest-xray-256): the area of the lungs; their archive has no labels. Writes downstream.md and
    downstream.csv. A run that was stopped goes on where it was; the folder of evaluate tarp, bounds or calibration has
    the draws already.
    """
    from napari_brgm.cli.progress import count_bar
    from napari_brgm.cli.target import ShellOutputs
    from napari_brgm.evaluation.downstream.report import DownstreamReport
    from napari_brgm.evaluation.downstream.study import DownstreamStudy
    from napari_brgm.evaluation.held_out_draws import HeldOutDraws

    command = f"napari-brgm evaluate downstream --prior {prior} --tasks {tasks} --slices {slices} --samples {samples}"
    command = f"{command} --methods {methods} --seed {seed} --data data --out downstream"
    with ShellOutputs(out, (), overwrite=True), count_bar() as tell:
        drawn = HeldOutDraws(prior, data_folder(data), out, names(tasks), slices, samples, seed, device)
        study = DownstreamStudy(drawn, names(methods))
        DownstreamReport(study.rows(tell), study).write(out, command)
    say((out / "downstream.md").read_text("utf-8"))
    say_path(out / "downstream.csv")
