"""What processes of a batch do in tests; a module of its own, so that they can import it."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path
from typing import TYPE_CHECKING

from filelock import FileLock, Timeout

from napari_brgm.batch.outcome import RowOutcome

if TYPE_CHECKING:
    from collections.abc import Callable

    from napari_brgm.batch.row import BatchRow

Tell = "Callable[[float, int], None]"
PARTS = 6
HASH = "theirs"  # of the prior


def hash_of(name: str) -> list[str]:
    """What must be the same on all machines."""
    return [name, HASH]


def plain(row: BatchRow, tell: Callable[[float, int], None]) -> RowOutcome:
    tell(0.5, 4)
    return RowOutcome(notes=(f"{row.name} by {os.getpid()} with {os.environ.get('OMP_NUM_THREADS')}",))


def killed_once(row: BatchRow, tell: Callable[[float, int], None]) -> RowOutcome:
    """Ended from outside while it works on 'b' for the first time."""
    mark = row.scan.parent / "killed"
    if row.name == "b" and not mark.exists():
        mark.touch()
        os.kill(os.getpid(), signal.SIGKILL)
    return plain(row, tell)


def killed_always(row: BatchRow, tell: Callable[[float, int], None]) -> RowOutcome:
    if row.name == "b":
        with (row.scan.parent / "tries").open("a") as file:
            file.write(".")
        os.kill(os.getpid(), signal.SIGKILL)
    return plain(row, tell)


def in_parts(row: BatchRow, tell: Callable[[float, int], None]) -> RowOutcome:
    """Six parts that processes share by locks; whoever finds all there is done, others are not."""
    folder = Path(row.scan)
    for part in range(PARTS):
        file, lock = folder / f"{part}.done", FileLock(folder / f"{part}.lock", timeout=0)
        try:
            with lock:
                if not file.exists():
                    time.sleep(0.3)
                    file.write_text(str(os.getpid()))
        except Timeout:
            continue
    there = sum((folder / f"{part}.done").exists() for part in range(PARTS))
    return RowOutcome(shared=there < PARTS)


def simulated(row: BatchRow, tell: Callable[[float, int], None]) -> RowOutcome:
    """A volume of 32 slices without the work: what is told and given back is that of a real one."""
    for number in range(32):
        tell(number / 32, 32)
    names = [f"{row.name}/{row.name}_desc-brgmInpaintAxial{number:03d}_image.safetensors" for number in range(32)]
    return RowOutcome(
        (f"{row.name}/{row.name}_desc-brgmInpaintEstimate_image.nii.gz", *names), ("a note",), seconds=1.0
    )
