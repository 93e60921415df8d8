"""Seconds of a step, MAP, VI, Laplace and draws of published networks of 64 to 1024 px, with random weights.

Random weights take as long as trained ones. Each cell is resolution x configuration x batch; a cell that was timed
before on the same machine is not timed again. Long runs are timed by their first steps: a step takes as long as any
other of its kind.
"""

from __future__ import annotations

import json
import time
from contextlib import suppress
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, cast

import torch

from napari_brgm.corruptions import Identity
from napari_brgm.engine.devices import pick_device
from napari_brgm.errors import Cancelled, DeviceError
from napari_brgm.evaluation.flops import Config, network, synthesis_flops
from napari_brgm.evaluation.machine import machine, median_seconds, peak_flops, seconds_of, stopwatch
from napari_brgm.inference import Gaussian, Progress, fit_gaussian, laplace_at, laplace_batches, maximise
from napari_brgm.likelihood import Likelihood, to_grey
from napari_brgm.observation import Observation
from napari_brgm.posterior import Posterior
from napari_brgm.priors.compiled import with_compiled_network
from napari_brgm.priors.prior import PriorInfo
from napari_brgm.priors.stylegan2_prior import StyleGAN2Prior, mapped_statistics
from napari_brgm.settings import preset

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from napari_brgm.inference import Step
    from napari_brgm.settings import InferenceSettings

__all__ = ["GridSettings", "random_prior", "speed_grid", "timed_cell"]

_STATISTICS = 1024  # mapped latents behind the covariance; more than their 512 dimensions


@dataclass(frozen=True, slots=True)
class GridSettings:
    """What the grid spans.

    Attributes
    ----------
    resolutions, configs, batches : tuple
    steps : int
        Of MAP, and as many of VI.
    vi_samples : int
        A step of VI.
    samples : int
        Draws of the posterior.
    seconds : float
        Longest time of one measurement; of MAP and VI so many steps are then timed and the rest extrapolated.
    precision : str
        'float32' or 'bfloat16'.
    compiled : bool
        Whether torch.compile makes the network faster first.
    busy : bool
        Whether a CPU's seconds are those of the process over its threads (machine.py), for a machine that is shared.
    """

    resolutions: tuple[int, ...] = (64, 128, 256, 512, 1024)
    configs: tuple[Config, ...] = ("e",)
    batches: tuple[int, ...] = (1, 8)
    steps: int = 500
    vi_samples: int = 6
    samples: int = 32
    seconds: float = 20.0
    precision: str = "float32"
    compiled: bool = False
    busy: bool = False


def random_prior(resolution: int, config: Config, device: torch.device, compiled: bool = False) -> StyleGAN2Prior:
    """A published network's shapes with random weights, as a prior."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        net = network(resolution, config)
    info = PriorInfo(f"random-{resolution}-{config}", spacing_mm=1.0, representation_sigma=20.0)
    prior = StyleGAN2Prior(net.synthesis, mapped_statistics(net.mapping, _STATISTICS), info, mapping=net.mapping)
    prior = prior.to(device)
    return cast("StyleGAN2Prior", with_compiled_network(prior)) if compiled else prior


def timed_cell(
    resolution: int, config: Config, batch: int, grid: GridSettings, device: torch.device,
    tell: Callable[[str], None] | None = None,
) -> dict[str, Any]:  # fmt: skip
    """Seconds, FLOP and number of timed steps of each job of one cell.

    MAP, VI and Laplace restore one image; the step and the draws take ``batch`` images at a time.
    """
    prior = random_prior(resolution, config, device, grid.compiled)
    settings = preset("unaided").but(
        start="mean", optimiser="adam", tolerance=None, steps=grid.steps, vi_samples_per_step=grid.vi_samples,
        vi_rank=0, precision=grid.precision,
    )  # fmt: skip
    posterior = _posterior(prior, settings, resolution, device)
    v = posterior.start(batch)
    one, both = (synthesis_flops(resolution, config, backward=back) for back in (False, True))
    jobs: dict[str, dict[str, Any]] = {}

    def forward() -> None:
        with torch.no_grad():
            posterior.images(v)

    def step() -> None:
        leaf = v.clone().requires_grad_(True)
        torch.stack(list(posterior.terms(leaf)[0].values())).sum().backward()  # type: ignore[no-untyped-call]

    def note(name: str, seconds: float, flops: float, timed: int | None = None) -> None:
        jobs[name] = {"seconds": seconds, "flop": flops, "timed_steps": timed}
        if tell is not None:
            tell(f"{resolution} px, config-{config}, batch {batch}: {name} {seconds:.3g} s")

    seconds_of(step, device)  # allocates, compiles
    repeats = max(1, min(5, int(grid.seconds / max(seconds_of(step, device), 1e-6) / 4)))
    note("forward", median_seconds(forward, repeats, device, busy=grid.busy), one * batch)
    note("step", median_seconds(step, repeats, device, busy=grid.busy), both * batch)
    if batch == min(grid.batches):  # these do not depend on it
        generator = torch.Generator().manual_seed(0)
        taken, timed = _steps_timed(lambda told: maximise(posterior, progress=told), grid, device)
        note("map", taken * grid.steps, both * grid.steps, timed)
        around = Gaussian(posterior.start()[0], posterior.start_std())
        taken, timed = _steps_timed(lambda told: fit_gaussian(posterior, around, generator, told), grid, device)
        note("vi", taken * grid.steps, both * grid.steps * grid.vi_samples, timed)
        # at most: eight directions in two batches, each a tangent (two images' work) and a gradient
        directions = 4 * laplace_batches(posterior)
        longest = directions * (jobs["forward"]["seconds"] + jobs["step"]["seconds"]) / batch
        if longest <= 4 * grid.seconds:
            taken = seconds_of(lambda: laplace_at(posterior, v[:1], generator), device, busy=grid.busy)
            note("laplace", taken, (one + both) * directions)
        else:
            note("laplace", longest, (one + both) * directions, 0)
    parts = -(-grid.samples // batch)
    note("draws", jobs["forward"]["seconds"] * parts, one * grid.samples, 1)
    return {"resolution": resolution, "config": config, "batch": batch, "jobs": jobs}


def _posterior(
    prior: StyleGAN2Prior, settings: InferenceSettings, resolution: int, device: torch.device
) -> Posterior:  # fmt: skip
    """Right half of a drawn image missing."""
    image = to_grey(prior.sample(1, 1))
    measured = torch.ones(1, 1, resolution, resolution, device=device)
    measured[..., resolution // 2 :] = 0
    return Posterior(prior, Likelihood(Observation(Identity(), measured, 20.0), image * measured), settings)


def _steps_timed(
    work: Callable[[Progress], object], grid: GridSettings, device: torch.device
) -> tuple[float, int]:  # fmt: skip
    """Seconds a step and number of steps timed, until the work is done or the longest time is over."""
    seconds: Callable[[], float] | None = None
    began = first = count = 0.0

    def told(step: Step) -> None:
        nonlocal seconds, began, first, count
        if seconds is None:  # the first one is not timed
            seconds, began, first = stopwatch(device, busy=grid.busy), time.perf_counter(), step.iteration
        count = step.iteration - first
        if count and time.perf_counter() - began > grid.seconds:
            raise Cancelled("enough")

    with suppress(Cancelled):
        work(Progress(told))
    assert seconds is not None  # there is at least one step
    return seconds() / max(count, 1), int(count)


def speed_grid(
    grid: GridSettings, device: str = "auto", out: Path | None = None, budget: float | None = None,
    tell: Callable[[str], None] | None = None,
) -> dict[str, Any]:  # fmt: skip
    """Time all cells, small ones first; gives them back with the machine and the arithmetic it reaches.

    Parameters
    ----------
    grid : GridSettings
    device : str
    out : Path or None
        JSON file, written after each cell; cells in it that were timed alike are kept.
    budget : float or None
        Seconds after which no further cell is begun; they are listed under 'left'.
    tell : callable or None
        Gets a line for each measurement.
    """
    place = pick_device(device)
    began = time.perf_counter()
    made_by = {"machine": machine(device), "grid": _comparable(grid)}
    known: dict[str, Any] = json.loads(out.read_text()) if out is not None and out.is_file() else {}
    kept = known.get("cells", {}) if known.get("made_by") == made_by else {}
    found: dict[str, Any] = {"made_by": made_by, "peak": known.get("peak") if kept else None, "cells": kept, "left": []}
    found["peak"] = found["peak"] or peak_flops(device, grid.precision, busy=grid.busy)
    cells = [(r, c, b) for r in sorted(grid.resolutions) for c in grid.configs for b in sorted(grid.batches)]
    for resolution, config, batch in cells:
        name = f"{resolution}-{config}-{batch}"
        if name in kept:
            continue
        if budget is not None and time.perf_counter() - began > budget:
            found["left"].append(name)
            continue
        try:
            kept[name] = timed_cell(resolution, config, batch, grid, place, tell)
        except (torch.cuda.OutOfMemoryError, DeviceError):
            found["left"].append(name)
            continue
        if out is not None:
            out.parent.mkdir(parents=True, exist_ok=True)
            out.write_text(json.dumps(found, indent=1))
    return found


def _comparable(grid: GridSettings) -> dict[str, Any]:
    """What two runs must have in common for their cells to stand in one table."""
    named = asdict(grid)
    for name in ("resolutions", "configs", "batches", "seconds"):
        del named[name]
    return named | {"smallest_batch": min(grid.batches)}
