"""GridBench: one cell of the grid: a restoration that is measured and kept, or that is found where it was kept."""

from __future__ import annotations

import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_brgm import __version__
from napari_brgm.engine.devices import pick_device
from napari_brgm.evaluation.grid.catalogue import method_of
from napari_brgm.evaluation.grid.image_row import Cost, digest_of, image_row
from napari_brgm.evaluation.grid.images import HeldOutImages
from napari_brgm.evaluation.grid.rows import Row
from napari_brgm.evaluation.kept import KeptCells
from napari_brgm.evaluation.tasks import grid_tasks
from napari_brgm.reason import reason_of

if TYPE_CHECKING:
    from napari_brgm.evaluation.grid.catalogue import Setting
    from napari_brgm.evaluation.kept import Kept
    from napari_brgm.evaluation.method import RestoringMethod

__all__ = ["GridBench", "GridCell", "base_of", "picture_of"]


@dataclass(frozen=True, slots=True)
class GridCell:
    """One restoration: names of a method and a task, and the number of an image of ``Setting.count``."""

    method: str
    task: str
    image: int


def picture_of(setting: Setting, row: Row, what: str = "") -> np.ndarray[Any, np.dtype[np.float16]] | None:
    """The finished image (R, R) of a row, or with ``what`` 'std' its standard deviation; None if it is not kept.

    Rows of any run in ``setting.out`` are found, whatever they were made with.
    """
    base, _, word = _split(row.method)
    path = KeptCells(_folder(setting)).path(_cell(base, row.task, row.image))
    if not path.is_file():
        return None
    with np.load(path) as kept:
        name = what or word or "estimate"
        return kept[name] if name in kept.files else None


def _split(method: str) -> tuple[str, str, str]:
    """Name of the method, and the word of one of its other images."""
    base, dash, word = method.rpartition("-")
    return (base, dash, word) if word in ("mean", "sample") else (method, "", "")


def base_of(method: str) -> str:
    """Name of the method whose restoration a row is of."""
    return _split(method)[0]


def _cell(method: str, task: str, image: str) -> str:
    return f"{task}/{method}--{image.replace('/', '-')}"


def _folder(setting: Setting) -> Path:
    return setting.out / "cells" / setting.held.name


class GridBench:
    """Images, tasks and the method in hand of one process."""

    def __init__(self, setting: Setting) -> None:
        self.setting = setting
        self.images = HeldOutImages.read(setting.held, setting.data, setting.count)
        self.tasks = {task.name: task for task in grid_tasks(setting.held.framing.resolution)}
        self.cells = KeptCells(_folder(setting))
        self._inhand: tuple[str, RestoringMethod] | None = None
        self._fingerprints: dict[str, dict[str, Any]] = {}

    def method(self, name: str) -> RestoringMethod:
        """The method of this name; the one before is let go, so that priors do not pile up."""
        if self._inhand is None or self._inhand[0] != name:
            self._inhand = None
            self._inhand = name, method_of(name, self.setting)
        return self._inhand[1]

    def fingerprint(self, name: str) -> dict[str, Any]:
        if name not in self._fingerprints:
            about = self.method(name).fingerprint()
            own = {"set": self.setting.held.name, "seed": self.setting.seed, "version": __version__}
            self._fingerprints[name] = {**own, **about}
        return self._fingerprints[name]

    def load(self, one: GridCell) -> Kept | None:
        """Give what is kept of a restoration; None: it is not done."""
        return self.cells.load(_cell(one.method, one.task, self.images.names[one.image]), self.fingerprint(one.method))

    def rows(self, one: GridCell) -> list[Row] | None:
        """Rows of a restoration that is done."""
        found = self.load(one)
        return None if found is None else [Row(**row) for row in found.record["rows"]]

    def measure(self, one: GridCell) -> tuple[list[Row], str]:
        """Restore, score and keep; or say in a sentence why not."""
        task, method = self.tasks[one.task], self.method(one.method)
        truth, name = self.images.images[one.image], self.images.names[one.image]
        observed = task.observe(truth[None])[0]
        try:
            method.prepare()
            before = _resident(anew=True)
            clock, processor = time.perf_counter(), time.process_time()
            result = method.restore(observed, task, self.setting.seed)
            seconds, busy = time.perf_counter() - clock, time.process_time() - processor
            peak = _resident()
        except Exception as error:  # one rival's failure does not end a run of hours
            return [], reason_of(error)
        cost = Cost(seconds, busy, None if before is None or peak is None else max(peak - before, 0.0))
        fingerprint = self.fingerprint(one.method)
        names = {
            "set": self.setting.held.name, "family": method.family, "image": name,
            "subject": self.images.subjects[one.image], "seed": self.setting.seed,
            "device": str(pick_device(self.setting.device)), "fingerprint": digest_of(fingerprint),
        }  # fmt: skip
        pictures = {"": result.estimate, **result.others}
        done = {
            word: task.finish(np.asarray(image)[None], observed[None])[0] for word, image in pictures.items()
        }  # fmt: skip
        rows = [
            image_row(
                {**names, "method": f"{method.name}-{word}" if word else method.name,
                 "title": f"{method.title}, {word}" if word else method.title},
                image, truth, task, None if word else result, cost,
            )
            for word, image in done.items()
        ]  # fmt: skip
        arrays = {word or "estimate": image.astype(np.float16) for word, image in done.items()}
        std = None if result.std is None else np.asarray(result.std, np.float16)
        record = {"rows": [asdict(row) for row in rows], "more": result.record}
        self.cells.save(
            _cell(one.method, one.task, name), fingerprint, {**arrays, "std": std, **result.arrays}, record
        )  # fmt: skip
        return rows, ""


def _resident(*, anew: bool = False) -> float | None:
    """MB: largest resident memory so far, counted anew from here on if asked; None where the system does not tell."""
    status, reset = Path("/proc/self/status"), Path("/proc/self/clear_refs")
    if not status.exists():
        return None
    if anew:
        try:
            reset.write_text("5")
        except OSError:
            return None
    line = next(line for line in status.read_text().splitlines() if line.startswith("VmHWM"))
    return int(line.split()[1]) / 1024
