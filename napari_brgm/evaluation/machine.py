"""The machine by its parts, the arithmetic it reaches, and seconds on it."""

from __future__ import annotations

import os
import platform
import statistics
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
import torch.nn.functional as F

from napari_brgm.engine.devices import pick_device

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["machine", "median_seconds", "peak_flops", "seconds_of", "stopwatch"]


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


def seconds_of(work: Callable[[], object], device: torch.device | str, *, busy: bool = False) -> float:
    """Seconds of ``work``, with all that it queued on a GPU.

    By the wall clock; with ``busy``, on a CPU, by the time of the process over its threads: what the wall clock would
    say, were no one else there.
    """
    seconds = stopwatch(device, busy=busy)
    work()
    return seconds()


def stopwatch(device: torch.device | str, *, busy: bool = False) -> Callable[[], float]:
    """Give the seconds since now, with all that was queued on a GPU meanwhile; ``busy`` as of ``seconds_of``."""
    place = torch.device(device)
    on_cpu = place.type == "cpu"
    clock = time.process_time if busy and on_cpu else time.perf_counter

    def now() -> float:
        if not on_cpu:
            torch.cuda.synchronize(place)
        return clock() / (torch.get_num_threads() if busy and on_cpu else 1)

    began = now()
    return lambda: now() - began


def median_seconds(
    work: Callable[[], object], repeats: int, device: torch.device | str = "cpu", *, busy: bool = False
) -> float:
    """Median of ``repeats`` times."""
    return statistics.median(seconds_of(work, device, busy=busy) for _ in range(repeats))


def peak_flops(
    device: str = "auto", precision: str = "float32", repeats: int = 5, *, busy: bool = False
) -> dict[str, float]:
    """FLOP per second of a matrix product and of a 3x3 convolution, the best of ``repeats``: what a floor stands on.

    Float32 products are exact ones, unless the process allows TF32.
    """
    place = pick_device(device)
    kind = torch.bfloat16 if precision == "bfloat16" else torch.float32
    big = place.type == "cuda"
    n, channels, side, batch = (8192, 512, 64, 16) if big else (1024, 256, 32, 2)
    a, b = (torch.randn(n, n, device=place, dtype=kind) for _ in range(2))
    x = torch.randn(batch, channels, side, side, device=place, dtype=kind)
    weight = torch.randn(channels, channels, 3, 3, device=place, dtype=kind)
    works: dict[str, tuple[Callable[[], object], int]] = {
        "matrix product": (lambda: a @ b, 2 * n**3),
        "convolution": (lambda: F.conv2d(x, weight, padding=1), 2 * 9 * channels**2 * side**2 * batch),
    }
    found = {}
    with torch.no_grad():
        for name, (work, flops) in works.items():
            work()  # the first call allocates and chooses its algorithm
            found[name] = flops / min(seconds_of(work, place, busy=busy) for _ in range(repeats))
    return found


def _processor() -> str:
    listing = Path("/proc/cpuinfo")
    if listing.is_file():
        for line in listing.read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()
