"""``napari-brgm evaluate`` and ``napari-brgm benchmark``: thin over the evaluation package."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from napari_brgm.cli.options import DEFAULT_PRIOR, Device, Out, PresetName, PriorName, Run, Samples, Seed, Steps

__all__ = ["benchmark", "evaluate"]

_DATA = (Path("data"), Path("../shared/data"))


def evaluate(
    out: Out,
    data: Annotated[
        Path | None,
        typer.Option(
            help="Folder of brain_train.zip and brain_validation.zip, or one that holds it as 'brain'; "
            "default: data, else ../shared/data.",
            show_default=False,
        ),
    ] = None,
    quick: Annotated[bool, typer.Option("--quick", help="8 slices instead of 50.")] = False,
    methods: Annotated[
        str | None, typer.Option(help="Comma-separated, for example telea,linear-1024,map.", show_default="all")
    ] = None,
    prior: PriorName = DEFAULT_PRIOR,
    steps: Steps = None,
    samples: Samples = 32,
    seed: Seed = 0,
    device: Device = "auto",
    preset: PresetName = "default",
) -> None:
    """Measure our methods and their rivals on held-out slices, and print one table.

    Seven masks and super-resolution x2, x4, x8. Writes results.json, results.md and contact_sheet.png. A run that was
    stopped goes on where it was when the command is given again.
    """
    run = Run.of(prior, "map", steps, samples, seed, device, preset)
    from napari_brgm.cli.outputs import Outputs
    from napari_brgm.cli.progress import count_bar
    from napari_brgm.evaluation import table

    folder = next((place for place in _DATA if place.is_dir()), _DATA[0]) if data is None else data
    chosen = table.METHODS if methods is None else tuple(name.strip() for name in methods.split(","))
    with Outputs(out, (), overwrite=True), count_bar() as tell:  # the folder is tried now, not after an hour
        table.run(
            folder, out, run.prior, quick, chosen, tell,
            settings=run.settings, samples=run.samples, seed=run.seed, device=run.device,
        )  # fmt: skip
    typer.echo(out / "results.md")


def benchmark(
    prior: PriorName = DEFAULT_PRIOR,
    repeats: Annotated[int, typer.Option(help="Runs of each; the median counts.")] = 3,
    steps: Steps = None,
    samples: Samples = 32,
    seed: Seed = 0,
    device: Device = "auto",
    preset: PresetName = "default",
) -> None:
    """Time in-painting, super-resolution and the generator on this machine."""
    run = Run.of(prior, "map", steps, samples, seed, device, preset)
    from napari_brgm.evaluation import benchmark as timings

    loaded = run.load_prior()
    timings.run(loaded, repeats, settings=run.settings, samples=run.samples, seed=run.seed, device=run.device)
