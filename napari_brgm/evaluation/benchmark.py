"""Timings on this machine: whole restorations with a prior, and the bare generator at 256."""

from __future__ import annotations

import os
import platform
import statistics
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import torch

from napari_brgm.corruptions import Downsample, Mask
from napari_brgm.engine.devices import pick_device
from napari_brgm.engine.restore import restore
from napari_brgm.errors import InputError
from napari_brgm.evaluation.ours import as_prior
from napari_brgm.priors.stylegan2 import StyleGAN2
from napari_brgm.settings import InferenceSettings

if TYPE_CHECKING:
    from collections.abc import Callable

    from napari_brgm.priors.prior import Prior

__all__ = ["REFERENCE_SECONDS", "machine", "run", "time_generator", "time_restorations"]

# channel_base 16384; REFERENCE_SECONDS is what this net is said to take, gray, batch 1.
WIDTHS_256 = {4: 512, 8: 512, 16: 512, 32: 512, 64: 256, 128: 128, 256: 64}
REFERENCE_SECONDS = {"forward": 0.52, "forward_backward": 1.72}


def run(
    prior_name: str | Path | Prior,
    repeats: int = 3,
    *,
    settings: InferenceSettings | None = None,
    samples: int = 32,
    seed: int = 0,
    device: str = "auto",
) -> dict[str, Any]:
    """Time restorations and the generator, print them with the machine, and give them back.

    Parameters
    ----------
    prior_name : str, path or Prior
    repeats : int
        Runs of each; the median counts.
    settings, samples, seed, device
        Of ``napari_brgm.restore``.

    Returns
    -------
    dict
        'machine', 'prior', 'steps', 'samples', 'restorations' and 'generator_256' (seconds), 'reference_256'.
    """
    if repeats < 1:
        raise InputError(f"repeats must be at least 1, got {repeats}")
    prior = as_prior(prior_name)
    settings = settings or InferenceSettings()
    timings: dict[str, Any] = {
        "machine": machine(device),
        "prior": prior.info.name,
        "resolution": prior.resolution,
        "steps": settings.steps,
        "samples": samples,
        "repeats": repeats,
        "restorations": time_restorations(prior, repeats, settings, samples, seed, device),
        "generator_256": time_generator(repeats, device),
        "reference_256": REFERENCE_SECONDS,
    }
    _show(timings)
    return timings


def machine(device: str = "auto") -> dict[str, Any]:
    """Name the parts that decide the speed."""
    place = pick_device(device)
    parts: dict[str, Any] = {
        "processor": _processor(),
        "cores": os.cpu_count(),
        "threads": torch.get_num_threads(),
        "torch": torch.__version__,
        "python": platform.python_version(),
        "device": str(place),
    }
    if place.type == "cuda":
        parts["gpu"] = torch.cuda.get_device_name(place)
    return parts


def time_restorations(
    prior: Prior, repeats: int, settings: InferenceSettings, samples: int, seed: int, device: str
) -> dict[str, float]:
    """Median seconds of in-painting (MAP, VI) and of super-resolution x4 (MAP) of an image that the prior draws."""
    size = prior.resolution
    drawn = prior.sample(1, seed)[0].mean(dim=0).detach().cpu().numpy()  # (R, R), grey
    image = (127.5 * (drawn.clip(-1.0, 1.0) + 1.0)).astype(np.float32)
    low = image.reshape(size // 4, 4, size // 4, 4).mean(axis=(1, 3))
    missing = np.zeros((size, size), dtype=np.bool_)
    missing[size * 3 // 16 : size * 13 // 16, size // 2 : size * 23 // 32] = True  # like the paper's tall box, 14 %
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

    return {name: _median(job(name), repeats) for name in jobs}


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
    return {"forward": _median(forward, repeats), "forward_backward": _median(forward_backward, repeats)}


def _median(job: Callable[[], object], repeats: int) -> float:
    seconds = []
    for _ in range(repeats):
        start = time.perf_counter()
        job()
        seconds.append(time.perf_counter() - start)
    return statistics.median(seconds)


def _processor() -> str:
    listing = Path("/proc/cpuinfo")
    if listing.is_file():
        for line in listing.read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()


def _show(timings: dict[str, Any]) -> None:
    from rich.console import Console
    from rich.table import Table

    parts = timings["machine"]
    place = parts.get("gpu", f"{parts['cores']} cores, {parts['threads']} threads")
    table = Table(
        title=f"{parts['processor']}, {place}, torch {parts['torch']}: median of {timings['repeats']}",
        title_justify="left",
    )
    table.add_column("what")
    table.add_column("seconds", justify="right")
    table.add_column("reference", justify="right")
    size = timings["resolution"]
    for name, seconds in timings["restorations"].items():
        table.add_row(f"{name}, {timings['prior']} at {size}, {timings['steps']} steps", f"{seconds:.2f}", "")
    for name, seconds in timings["generator_256"].items():
        title = f"StyleGAN2 at 256, {name.replace('_', ' + ')}"
        table.add_row(title, f"{seconds:.2f}", f"{timings['reference_256'][name]:.2f}")
    Console().print(table)
