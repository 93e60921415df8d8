"""Peak memory and time against the size of a scan: in-painting (two strokes) and super-resolution x4.

Each restoration has a process of its own, since the peak of the resident memory is that of a process. Peaks are over
what the process had when torch was imported; the scan itself and the result count.
"""

from __future__ import annotations

import json
import subprocess
import sys
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_brgm.corruptions import Downsample, Mask
from napari_brgm.engine.devices import pick_device
from napari_brgm.engine.need import Need
from napari_brgm.engine.observed import observe
from napari_brgm.engine.restore import restore
from napari_brgm.engine.restoring import IMAGES
from napari_brgm.errors import BrgmError, InputError
from napari_brgm.likelihood import to_grey
from napari_brgm.zoo.registry import load_prior

if TYPE_CHECKING:
    from collections.abc import Callable

    import numpy.typing as npt

__all__ = ["MEMORY_TASKS", "MemoryRow", "memory_rows", "strokes"]

MEMORY_TASKS = {"mask": (512, 1024, 2048, 4096), "x4": (128, 256, 512)}  # sides of the scan as given
_FACTOR = 4
_NOISE = 8.0  # of the scan, in its units of 0..4095


@dataclass(frozen=True, slots=True)
class MemoryRow:
    """One restoration.

    Attributes
    ----------
    task : str
        'mask' or 'x4'.
    side : int
        Of the scan as given, pixels; the result of x4 has four times as many.
    seconds, busy : float
        By the clock, and of the process over its threads.
    peak : float
        GB over what torch itself takes.
    need : float
        GB, as estimated before a run.
    """

    task: str
    side: int
    seconds: float
    busy: float
    peak: float
    need: float


def memory_rows(
    prior_name: str, samples: int, seed: int, device: str, tell: Callable[[str], None] | None = None,
    sides: dict[str, tuple[int, ...]] | None = None,
) -> list[MemoryRow]:  # fmt: skip
    """Restore scans of growing size with an installed prior.

    Raises
    ------
    InputError
        Peaks of a process cannot be read on this system.
    BrgmError
        A restoration failed; its own sentence.
    """
    if sys.platform == "win32":
        raise InputError("the peak memory of a process is not read on Windows; run this part elsewhere")
    rows = []
    for task, chosen in (sides or MEMORY_TASKS).items():
        for side in chosen:
            given = json.dumps([task, side, prior_name, samples, seed, device])
            call = [sys.executable, "-m", "napari_brgm.evaluation.memory", given]
            done = subprocess.run(call, capture_output=True, text=True, check=False)
            if done.returncode:
                why = (done.stderr.strip().splitlines() or [f"it ended with code {done.returncode}"])[-1]
                raise BrgmError(f"{task} at {side} pixels: {why}")
            rows.append(MemoryRow(**json.loads(done.stdout.splitlines()[-1])))
            if tell is not None:
                tell(f"{task}, {side} px: {rows[-1].peak:.2f} GB, {rows[-1].busy:.1f} s of the processor")
    return rows


def strokes(side: int) -> npt.NDArray[np.bool_]:
    """(side, side) True in two strokes, one down and one across."""
    hidden, width = np.zeros((side, side), dtype=np.bool_), max(side // 64, 1)
    hidden[side // 4 : side // 4 + 20 * width, side // 3 : side // 3 + width] = True
    hidden[side // 2 : side // 2 + width, side // 8 : side * 7 // 8] = True
    return hidden


def _measured(task: str, side: int, prior_name: str, samples: int, seed: int, device: str) -> MemoryRow:
    before = _peak()  # torch is there
    prior = load_prior(prior_name)
    drawn = to_grey(prior.sample(1, seed))[0].mean(dim=0).clamp(0, 255).cpu().numpy()
    step = np.minimum(np.arange(side) * prior.resolution // side, prior.resolution - 1)
    rng = np.random.default_rng(seed)
    scan = np.empty((side, side), np.uint16)
    for row in range(side):
        line = 16 * drawn[step[row], step] + rng.normal(0, _NOISE, side)
        scan[row] = line.clip(0, 4095)
    corruption = Mask(strokes(side)) if task == "mask" else Downsample(_FACTOR)
    began, busy = time.perf_counter(), time.process_time()
    restore(scan, corruption, prior, samples=samples, seed=seed, device=device)
    seconds, busy, peak = time.perf_counter() - began, time.process_time() - busy, _peak() - before
    problem, place = observe(scan, corruption, prior), pick_device(device)
    need = Need.of(problem, samples, prior.resolution, IMAGES, place, 1, with_samples=True)
    return MemoryRow(task, side, seconds, busy, peak, need.memory / 2**30)


def _peak() -> float:
    """GB: largest resident memory of this process so far."""
    status = Path("/proc/self/status")
    if status.exists():  # what getrusage says there is at least what the parent had when it made this process
        found = next(line for line in status.read_text().splitlines() if line.startswith("VmHWM"))
        return int(found.split()[1]) / 2**20
    import resource  # not on Windows

    unit = 2**30 if sys.platform == "darwin" else 2**20
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / unit


def _main(text: str) -> None:
    arguments: list[Any] = json.loads(text)
    print(json.dumps(asdict(_measured(*arguments))))


if __name__ == "__main__":
    try:
        _main(sys.argv[1])
    except BrgmError as error:
        sys.exit(str(error))
