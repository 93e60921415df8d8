"""Timings on this machine: whole restorations with a prior, the bare generator at 256, published networks of all sizes,
the time to a reference loss, peak memory against size, and the project's targets.
"""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import torch

from napari_brgm.corruptions import Downsample, Identity, Mask
from napari_brgm.engine.devices import pick_device
from napari_brgm.engine.restore import restore
from napari_brgm.errors import InputError
from napari_brgm.evaluation.benchmark_table import show
from napari_brgm.evaluation.given_prior import as_prior
from napari_brgm.evaluation.machine import machine, median_seconds
from napari_brgm.evaluation.memory import memory_rows
from napari_brgm.evaluation.reach import RATES, time_to_loss
from napari_brgm.evaluation.speed_grid import GridSettings, random_prior, speed_grid
from napari_brgm.priors.stylegan2 import StyleGAN2
from napari_brgm.settings import InferenceSettings, preset

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from napari_brgm.priors.prior import Prior

__all__ = ["PARTS", "REFERENCE_SECONDS", "machine", "run", "time_generator", "time_restorations", "time_targets"]

PARTS = ("restorations", "generator", "grid", "reach", "targets", "memory")
DEFAULT_PARTS = ("restorations", "generator")

# channel_base 16384; REFERENCE_SECONDS is what this net is said to take, gray, batch 1.
WIDTHS_256 = {4: 512, 8: 512, 16: 512, 32: 512, 64: 256, 128: 128, 256: 64}
REFERENCE_SECONDS = {"forward": 0.52, "forward_backward": 1.72}


def run(
    prior_name: str | Path | Prior,
    repeats: int = 3,
    *,
    parts: tuple[str, ...] = DEFAULT_PARTS,
    settings: InferenceSettings | None = None,
    samples: int = 32,
    seed: int = 0,
    device: str = "auto",
    grid: GridSettings | None = None,
    budget: float | None = None,
    image: Path | None = None,
    reference_steps: int = 500,
    rates: tuple[float, ...] = RATES,
    out: Path | None = None,
    tell: Callable[[str], None] | None = None,
) -> dict[str, Any]:
    """Time the parts, print them with the machine, and give them back.

    Parameters
    ----------
    prior_name : str, path or Prior
    repeats : int
        Runs of each; the median counts.
    parts : tuple of str
        Of ``PARTS``.
    settings, samples, seed, device
        Of ``napari_brgm.restore``; settings None: the preset that suits the prior.
    grid : GridSettings or None
        Of the part 'grid'.
    budget : float or None
        Seconds after which 'grid' begins no further cell.
    image : Path or None
        ``brain_validation.zip``, whose first slice 'reach' restores; None: an image that the prior draws.
    reference_steps, rates
        Of 'reach'.
    out : Path or None
        JSON file for everything; what it holds of the grid from a run on the same machine is not timed again.
    tell : callable or None
        Gets a line now and then.

    Returns
    -------
    dict
        'machine', 'prior', 'steps', 'samples' and what the parts are called; seconds.

    Raises
    ------
    InputError
        There is no such part, or repeats are below 1.
    """
    if repeats < 1:
        raise InputError(f"repeats must be at least 1, got {repeats}")
    unknown = [part for part in parts if part not in PARTS]
    if unknown or not parts:
        raise InputError(f"parts must be some of {', '.join(PARTS)}, got {', '.join(unknown) or 'none'}")
    prior = as_prior(prior_name)
    settings = settings or preset(prior.info.preset)
    timings: dict[str, Any] = {
        "machine": machine(device),
        "prior": prior.info.name,
        "resolution": prior.resolution,
        "steps": settings.steps,
        "samples": samples,
        "repeats": repeats,
    }
    if "restorations" in parts:
        timings["restorations"] = time_restorations(prior, repeats, settings, samples, seed, device)
    if "generator" in parts:
        timings |= {"generator_256": time_generator(repeats, device), "reference_256": REFERENCE_SECONDS}
    if "reach" in parts:
        place = pick_device(device)
        found = time_to_loss(
            prior.to(place), settings, _shown(prior, image, seed), reference_steps=reference_steps, rates=rates,
            seed=seed,
        )  # fmt: skip
        timings["reference_steps"] = reference_steps
        timings["reach"] = [asdict(row) | {"share": row.share} for row in found]
    if "targets" in parts:
        busy = grid is not None and grid.busy
        timings["targets"] = time_targets(prior, settings, repeats, samples, seed, device, busy=busy)
    if "memory" in parts:
        timings["memory"] = [asdict(row) for row in memory_rows(prior.info.name, samples, seed, device, tell)]
    if "grid" in parts:
        cells = None if out is None else out.with_name(f"{out.stem}-grid{out.suffix}")
        timings["grid"] = speed_grid(grid or GridSettings(), device, cells, budget, tell)
    if out is not None:
        out.parent.mkdir(parents=True, exist_ok=True)
        out.write_text(json.dumps(timings, indent=1))
    show(timings)
    return timings


def _shown(prior: Prior, archive: Path | None, seed: int) -> np.ndarray[Any, Any]:
    """(R, R) grey levels: a held-out slice, or an image that the prior draws."""
    if archive is None:
        drawn = prior.sample(1, seed)[0].mean(dim=0).detach().cpu().numpy()  # (R, R), grey
        return np.asarray(127.5 * (drawn.clip(-1.0, 1.0) + 1.0), dtype=np.float32)
    from napari_brgm.datasets import read_slices
    from napari_brgm.evaluation.held_out import grey_images, set_of

    held = set_of(prior)
    return np.asarray(grey_images(read_slices(archive, held.framing, pixel_mm=held.pixel_mm), [0])[0])


def time_targets(
    prior: Prior, settings: InferenceSettings, repeats: int, samples: int, seed: int, device: str, *, busy: bool = False
) -> list[dict[str, Any]]:
    """Seconds (``busy``: see machine.py) against the project's own limits; those of a GPU are skipped without one."""
    place = pick_device(device)
    gpu = place.type == "cuda"
    rows: list[dict[str, Any]] = []

    def add(what: str, limit: float, wanted: bool, why: str, job: Callable[[], object]) -> None:
        seconds = None
        if wanted:
            if gpu:
                job()  # the first call loads kernels
            seconds = median_seconds(job, repeats, place, busy=busy)
        rows.append({"what": what, "limit": limit, "seconds": seconds, "why": why})

    image = _shown(prior, None, seed)
    hole = Mask(_tall_box(prior.resolution))
    add(
        f"in-painting, {prior.info.name}, {samples} samples (2 cores)", 10.0, prior.resolution == 128 and not gpu,
        "for priors of 128 px on a CPU",
        lambda: restore(image, hole, prior, samples=samples, seed=seed, device=device, settings=settings),
    )  # fmt: skip
    big = random_prior(1024, "e", place, settings.compiled) if gpu else prior
    small = random_prior(256, "e", place, settings.compiled) if gpu else prior
    slow = preset("unaided").but(
        optimiser="adam", tolerance=None, start="mean", residual_field=False, fit_pose=False, vi_steps=None,
        precision=settings.precision,
    )  # fmt: skip
    frames = {side: np.tile(np.linspace(0, 255, side, dtype=np.float32), (side, 1)) for side in (256, 1024)}

    def job(net: Prior, method: str, steps: int, draws: int) -> Callable[[], object]:
        shown = frames[1024 if net is big else 256]
        corruption = Mask(_tall_box(len(shown)))
        chosen = slow.but(steps=steps)
        return lambda: restore(
            shown, corruption, net, method=method, samples=draws, seed=seed, device=device, settings=chosen
        )

    why = "needs a GPU (H200)"
    add("500 steps of MAP, 1024 px config-e", 3.0, gpu, why, lambda: _steps_of_map(big, slow.but(steps=500)))
    add("VI, 1024 px config-e, 100 + 100 steps", 10.0, gpu, why, job(big, "vi", 100, 2))
    add("preview (MAP alone), 256 px config-e, 20 steps", 0.5, gpu, why, job(small, "map", 20, 0))
    return rows


def _steps_of_map(prior: Prior, settings: InferenceSettings) -> None:
    from napari_brgm.inference import maximise
    from napari_brgm.likelihood import Likelihood, to_grey
    from napari_brgm.observation import all_measured
    from napari_brgm.posterior import Posterior

    image = to_grey(prior.sample(1, 1))
    likelihood = Likelihood(all_measured(Identity(), image, 20.0), image)
    maximise(Posterior(prior, likelihood, settings))


def _tall_box(size: int) -> np.ndarray[Any, np.dtype[np.bool_]]:
    """Like the paper's tall box, 14 %."""
    missing = np.zeros((size, size), dtype=np.bool_)
    missing[size * 3 // 16 : size * 13 // 16, size // 2 : size * 23 // 32] = True
    return missing


def time_restorations(
    prior: Prior, repeats: int, settings: InferenceSettings, samples: int, seed: int, device: str
) -> dict[str, float]:
    """Median seconds of in-painting (MAP, VI) and of super-resolution x4 (MAP) of an image that the prior draws."""
    size = prior.resolution
    image = _shown(prior, None, seed)
    low = image.reshape(size // 4, 4, size // 4, 4).mean(axis=(1, 3))
    missing = _tall_box(size)
    jobs: dict[str, tuple[np.ndarray[Any, Any], Any, Literal["map", "vi"]]] = {
        "in-painting, MAP": (image, Mask(missing), "map"),
        f"in-painting, VI, {samples} samples": (image, Mask(missing), "vi"),
        "super-resolution x4, MAP": (low, Downsample(4), "map"),
    }

    def job(name: str) -> Callable[[], object]:
        observed, corruption, method = jobs[name]
        return lambda: restore(
            observed, corruption, prior, method=method, samples=samples, seed=seed, device=device, settings=settings
        )

    return {name: median_seconds(job(name), repeats) for name in jobs}


def time_generator(repeats: int, device: str = "auto", widths: dict[int, int] | None = None) -> dict[str, float]:
    """Median seconds of StyleGAN2 at 256 with random weights, batch 1: w -> image, and the gradient in w as well."""
    place = pick_device(device)
    net = StyleGAN2(widths or WIDTHS_256, channels=1, mapping_layers=8).to(place).requires_grad_(False).eval()
    ws = torch.randn(1, net.num_ws, 512, device=place)

    def settle() -> None:
        if place.type == "cuda":
            torch.cuda.synchronize(place)

    def forward() -> None:
        with torch.no_grad():
            net.synthesis(ws)
        settle()

    def forward_backward() -> None:
        leaf = ws.clone().requires_grad_(True)
        net.synthesis(leaf).square().mean().backward()
        settle()

    forward_backward()  # the first call allocates
    return {"forward": median_seconds(forward, repeats), "forward_backward": median_seconds(forward_backward, repeats)}
