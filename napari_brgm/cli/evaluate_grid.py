"""``napari-brgm evaluate`` itself: the grid of methods, tasks and held-out images."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from napari_brgm.cli import options
from napari_brgm.cli.options import data_folder, names
from napari_brgm.cli.terminal import say, say_path
from napari_brgm.errors import InputError

if TYPE_CHECKING:
    from napari_brgm.evaluation.grid.catalogue import Setting

__all__ = ["Processes", "grid", "usual_processes"]

Processes = Annotated[
    int | None,
    typer.Option(
        "--processes", min=1, help="So many slices at a time, each on one core.", show_default="cores, at most 2"
    ),
]
_IMAGES = 50
_ALL = "all"


def usual_processes(given: int | None) -> int:
    """As given, else one for each core, at most two: each holds a prior in memory."""
    return min(os.cpu_count() or 1, 2) if given is None else given


def grid(
    context: typer.Context,
    out: Annotated[
        Path | None, typer.Option("--out", help="Folder for the results; made if missing.", show_default=False)
    ] = None,
    data: options.Data = None,
    quick: Annotated[bool, typer.Option("--quick", help="6 images, and none of the methods that take long.")] = False,
    prior: Annotated[
        str,
        typer.Option(
            "--prior", help="Ours, by name or path; comma-separated for several, each on the set that it fits."
        ),
    ] = options.DEFAULT_PRIOR,
    methods: Annotated[
        str | None,
        typer.Option(help="Comma-separated, or all: those that take long too.", show_default="those that do not"),
    ] = None,
    tasks: Annotated[
        str | None,
        typer.Option(
            help="Comma-separated: mask-0 .. mask-6, strokes, missing-95, x2, x4, x8, x16, jpeg-10, whole.",
            show_default="all",
        ),
    ] = None,
    images: Annotated[
        int | None, typer.Option(min=1, help="Held-out images, evenly spaced.", show_default="50")
    ] = None,
    slow: Annotated[
        int | None, typer.Option(min=1, help="Images of each method that takes long.", show_default="10")
    ] = None,
    weights: Annotated[
        Path | None, typer.Option(help="Folder of rivals that were trained.", show_default="without them")
    ] = None,
    pixel_mm: Annotated[
        float | None,
        typer.Option(min=1e-3, help="Pixel size of plain images of one's own, mm.", show_default="the prior's"),
    ] = None,
    steps: options.Steps = None,
    samples: options.SampleCount = 32,
    seed: options.Seed = 0,
    device: options.Device = "auto",
    preset: options.PresetName = options.AUTO,
    processes: Processes = None,
    pictures: Annotated[
        bool, typer.Option("--pictures/--no-pictures", help="The page shows scans, or figures alone.")
    ] = True,
) -> None:
    """Measure our methods and their rivals on held-out slices: one grid, its tables and a page.

    --data is the folder of the held-out sets, or one of your own scans (NIfTI, DICOM, images), which are then cut into
    the frame of the prior; brains must be skull-stripped. Seven masks, painted strokes, 95 % of the pixels missing,
    super-resolution x2, x4, x8 (and x16 at 256), JPEG.

    Writes rows.csv (a line for each image, with seed, versions and commit), evaluation.md and index.html. A run that
    was stopped goes on where it was when the command is given again; methods can be added one by one. With
    --no-pictures rows.csv alone is enough to go on from, as that of docs/evaluation.
    """
    if context.invoked_subcommand is not None:
        if out is not None or data is not None:
            raise InputError("give the options after the name of the table, as in evaluate priors --out DIR")
        return
    if out is None:
        raise InputError("Missing option '--out'; see --help")
    if weights is not None and not weights.is_dir():
        raise InputError(f"there is no folder {weights}; name the one that evaluate train-rivals wrote to")
    run = options.InferenceOptions.of(options.DEFAULT_PRIOR, "map", steps, samples, seed, device, preset)
    from napari_brgm.cli.progress import count_bar
    from napari_brgm.cli.target import ShellOutputs
    from napari_brgm.evaluation.given_prior import as_prior
    from napari_brgm.evaluation.grid import study
    from napari_brgm.evaluation.grid.catalogue import METHODS, Setting
    from napari_brgm.evaluation.held_out import SETS
    from napari_brgm.evaluation.own_scans import OwnScans

    count = images or (study.QUICK_IMAGES if quick else _IMAGES)

    def setting(given: str) -> Setting:
        one, folder = as_prior(given), data_folder(data)
        settings = None if preset == options.AUTO and steps is None else run.settings_for(one)
        fitting = [held for held in SETS if held.fits(one)]
        there = [held for held in fitting if data is None or held.archive(folder, "validation").exists()]
        if not there and out.resolve().is_relative_to(folder.resolve()):
            where = f"--out {out} lies in the folder of your scans"
            raise InputError(f"{where}, and its pictures would be taken for scans; name a folder elsewhere")
        return Setting(
            there[0] if there else OwnScans.of(one, pixel_mm), folder, out, given, count, run.samples, run.seed,
            run.device, settings, weights,
        )  # fmt: skip

    chosen = None if methods is None else tuple(METHODS) if methods == _ALL else names(methods)
    wish = study.Wish(
        chosen, None if tasks is None else names(tasks), usual_processes(processes), slow, strict=methods != _ALL,
        pictured=pictures,
    )  # fmt: skip
    with ShellOutputs(out, (), overwrite=True), count_bar() as tell:  # the folder is tried now, not after an hour
        tables = study.evaluate([setting(given) for given in names(prior)], wish, tell)
    for note in (*(one for of_set in tables.doubts.values() for one in of_set), *tables.notes):
        say(note)
    say_path(out / study.PAGE_FILE)
