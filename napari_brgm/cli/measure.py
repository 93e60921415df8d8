"""``napari-brgm benchmark``: thin over the evaluation package."""

from __future__ import annotations

from typing import Annotated

import typer

from napari_brgm.cli.options import AUTO, DEFAULT_PRIOR, Device, PresetName, PriorName, Run, Samples, Seed, Steps

__all__ = ["benchmark"]


def benchmark(
    prior: PriorName = DEFAULT_PRIOR,
    repeats: Annotated[int, typer.Option(help="Runs of each; the median counts.")] = 3,
    steps: Steps = None,
    samples: Samples = 32,
    seed: Seed = 0,
    device: Device = "auto",
    preset: PresetName = AUTO,
) -> None:
    """Time in-painting, super-resolution and the generator on this machine."""
    run = Run.of(prior, "map", steps, samples, seed, device, preset)
    from napari_brgm.evaluation import benchmark as timings

    loaded = run.load_prior()
    timings.run(
        loaded, repeats, settings=run.settings_for(loaded), samples=run.samples, seed=run.seed, device=run.device
    )
