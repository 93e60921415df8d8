"""``napari-brgm benchmark``: thin over the evaluation package."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

from napari_brgm.cli import options
from napari_brgm.cli.terminal import say
from napari_brgm.errors import InputError

__all__ = ["benchmark"]

_RESOLUTIONS = (64, 128, 256, 512, 1024)


def benchmark(
    prior: options.PriorName = options.DEFAULT_PRIOR,
    repeats: Annotated[int, typer.Option(help="Runs of each; the median counts.")] = 3,
    steps: options.Steps = None,
    samples: options.SampleCount = 32,
    seed: options.Seed = 0,
    device: options.Device = "auto",
    preset: options.PresetName = options.AUTO,
    parts: Annotated[
        str,
        typer.Option(
            help="Comma-separated: restorations and generator with a prior, grid (networks of all sizes, random "
            "weights), reach (time to the loss of 500 constant steps), memory (peaks against the size of a scan), "
            "targets."
        ),
    ] = "restorations,generator",
    resolutions: Annotated[str, typer.Option(help="grid: sides in pixels.")] = "64,128,256,512,1024",
    configs: Annotated[str, typer.Option(help="grid: e, f or e,f, by the channels of published nets.")] = "e",
    batches: Annotated[str, typer.Option(help="grid: images at a time.")] = "1,8",
    grid_steps: Annotated[int, typer.Option(help="grid: steps of MAP, and as many of VI.", min=1)] = 500,
    budget: Annotated[
        float | None,
        typer.Option(help="grid: begin no further size after so many seconds.", show_default="none", min=0),
    ] = None,
    longest: Annotated[
        float, typer.Option(help="grid: seconds of one measurement; the rest of its steps is extrapolated.", min=0.1)
    ] = 20.0,
    precision: Annotated[str, typer.Option(help="float32 or bfloat16, of the networks.")] = "float32",
    compiled: Annotated[bool, typer.Option("--compiled", help="torch.compile networks (minutes at first).")] = False,
    cpu_time: Annotated[
        bool,
        typer.Option(
            "--cpu-time", help="grid, targets: this process's CPU time over its threads; for a machine that is shared."
        ),
    ] = False,
    optimiser: Annotated[
        str | None, typer.Option(help="adam, gauss-newton or lbfgs.", show_default="the preset's")
    ] = None,
    data: Annotated[
        Path | None,
        typer.Option(help="reach: brain_validation.zip or its folder.", show_default="an image the prior draws"),
    ] = None,
    rates: Annotated[str, typer.Option(help="reach: constant rates of Adam.")] = "0.01,0.02,0.05,0.1",
    reference_steps: Annotated[int, typer.Option(help="reach: steps at a constant rate.", min=1)] = 500,
    out: Annotated[
        Path | None,
        typer.Option(help="JSON file; the grid goes on from the one beside it.", show_default="none"),
    ] = None,
) -> None:
    """Time restorations, networks and optimisers on this machine, against the floor of its arithmetic."""
    how = options.InferenceOptions.of(prior, "map", steps, samples, seed, device, preset)
    sides = tuple(int(side) for side in _numbers("--resolutions", resolutions))
    if not set(sides) <= set(_RESOLUTIONS):
        raise InputError(f"--resolutions takes some of {', '.join(map(str, _RESOLUTIONS))}, got {resolutions}")
    named = {name.strip() for name in configs.split(",")}
    if not named <= {"e", "f"}:
        raise InputError(f"--configs takes e, f or e,f, got {configs}")
    names: tuple[Literal["e", "f"], ...] = tuple(name for name in ("e", "f") if name in named)
    sizes = tuple(int(size) for size in _numbers("--batches", batches))
    own_rates = _numbers("--rates", rates)
    from napari_brgm.evaluation import benchmark as timings
    from napari_brgm.evaluation.speed_grid import GridSettings

    loaded = how.load_prior()
    settings = how.settings_for(loaded).but(precision=precision, compiled=compiled)
    settings = settings if optimiser is None else settings.but(optimiser=optimiser)
    timings.run(
        loaded,
        repeats,
        parts=tuple(part.strip() for part in parts.split(",")),
        settings=settings,
        samples=how.samples,
        seed=how.seed,
        device=how.device,
        grid=GridSettings(
            resolutions=sides,
            configs=names,
            batches=sizes,
            steps=grid_steps,
            samples=how.samples,
            seconds=longest,
            precision=precision,
            compiled=compiled,
            busy=cpu_time,
        ),
        budget=budget,
        image=data,
        reference_steps=reference_steps,
        rates=own_rates,
        out=out,
        tell=say,
    )


def _numbers(option: str, text: str) -> tuple[float, ...]:
    """Positive numbers between commas."""
    try:
        found = tuple(float(part) for part in text.split(","))
    except ValueError:
        found = ()
    if not found or min(found) <= 0:
        raise InputError(f"{option} takes positive numbers between commas, got {text!r}")
    return found
