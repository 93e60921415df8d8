"""run_grid(): methods x tasks x images in one or two processes; what is done is kept, and is not done again."""

from __future__ import annotations

import signal
import time
from collections import deque
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from multiprocessing import get_context
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from napari_brgm import __version__
from napari_brgm.engine.devices import pick_device
from napari_brgm.errors import BrgmError, InputError
from napari_brgm.evaluation.grid.catalogue import Setting, method_of
from napari_brgm.evaluation.grid.image_row import Cost, digest_of, image_row
from napari_brgm.evaluation.grid.images import HeldOutImages
from napari_brgm.evaluation.grid.rows import ROWS_FILE, Row
from napari_brgm.evaluation.held_out import evenly_spaced
from napari_brgm.evaluation.kept import KeptCells
from napari_brgm.evaluation.tasks import grid_tasks
from napari_brgm.reason import reason_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from napari_brgm.evaluation.method import RestoringMethod

    Tell = Callable[[int, int, str], None]

__all__ = ["GridCell", "GridResult", "picture_of", "run_grid"]

_AHEAD = 4  # work given out before it is asked for


@dataclass(frozen=True, slots=True)
class GridCell:
    """One restoration: names of a method and a task, and the number of an image of ``Setting.count``."""

    method: str
    task: str
    image: int


@dataclass(frozen=True, slots=True)
class GridResult:
    """Rows in the order of the work, and a sentence for each method and task that failed."""

    rows: list[Row]
    failures: list[str]


def run_grid(
    setting: Setting, methods: Sequence[str], tasks: Sequence[str], tell: Tell | None = None, *, processes: int = 1,
    fewer: dict[str, int] | None = None, earlier: Sequence[Row] = (),
) -> GridResult:  # fmt: skip
    """Measure methods on tasks.

    Parameters
    ----------
    setting : Setting
    methods : sequence of str
        Of ``catalogue.METHODS``; what one of them cannot do is left out.
    tasks : sequence of str
        Of ``grid_tasks``.
    tell : callable, optional
        Gets (done, in all, what comes next).
    processes : int
        1: in this process. More: so many of their own, with one thread each.
    fewer : dict, optional
        Methods that restore so many images, evenly spaced, and not all.
    earlier : sequence of Row
        Rows that these will stand beside.

    Raises
    ------
    InputError
        A method has no such name, or cannot be had with this setting; none does any of the tasks; an earlier row of a
        method was made with another seed, prior, settings or version.
    BrgmError
        A process was ended from outside.
    ScanError
        The archive is missing or damaged.
    OutputError
        The folder cannot be made.
    """
    known = {task.name: task for task in grid_tasks(setting.held.framing.resolution)}
    bench = _Bench(setting)
    work: deque[GridCell] = deque()
    for name in methods:
        method = bench.method(name)
        _refuse_others(name, digest_of(bench.fingerprint(name)), setting, earlier)
        count = min((fewer or {}).get(name, len(bench.images)), len(bench.images))
        picked = evenly_spaced(len(bench.images), count)
        work += [GridCell(name, task, i) for task in tasks if method.solves(known[task]) for i in picked]
        if processes > 1 and any(bench.kept(one) is None for one in work if one.method == name):
            method.prepare()  # what is learned once is learned here, and kept for the others
    if not work:
        raise InputError(f"none of the methods {', '.join(methods)} does any of the tasks {', '.join(tasks)}")
    total, done = len(work), 0
    found: dict[GridCell, list[Row]] = {}
    failed: dict[tuple[str, str], str] = {}
    order = list(work)

    def finished(one: GridCell, rows: list[Row], failure: str) -> None:
        nonlocal done
        done += 1
        found[one] = rows
        if failure:
            failed.setdefault((one.method, one.task), f"{one.method} on {one.task}: {failure}")

    waiting: deque[GridCell] = deque()
    for one in order:
        kept = bench.kept(one)
        if kept is None:
            waiting.append(one)
        else:
            finished(one, kept, "")
    with _workers(bench, processes if waiting else 1) as submit:
        running: dict[Future[tuple[list[Row], str]], GridCell] = {}
        while waiting or running:
            while waiting and len(running) < _AHEAD * processes:
                one = waiting.popleft()
                if tell:
                    tell(done, total, f"{one.method}, {one.task}")
                running[submit(one)] = one
                if processes == 1:
                    break
            for future in wait(running, return_when=FIRST_COMPLETED).done:
                finished(running.pop(future), *future.result())
    if tell:
        tell(total, total, "figures")
    return GridResult([row for one in order for row in found[one]], list(failed.values()))


def _refuse_others(name: str, digest: str, setting: Setting, earlier: Sequence[Row]) -> None:
    """Rows of one method are of one seed, prior, settings and version."""
    for row in earlier:
        if row.set == setting.held.name and name in (row.method, _split(row.method)[0]) and row.fingerprint != digest:
            raise InputError(
                f"{setting.out} holds rows of {name} made with another seed, prior, settings or version; choose "
                f"another folder with --out, or move its {ROWS_FILE} away"
            )


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


def _cell(method: str, task: str, image: str) -> str:
    return f"{task}/{method}--{image.replace('/', '-')}"


def _folder(setting: Setting) -> Path:
    return setting.out / "cells" / setting.held.name


class _Bench:
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

    def kept(self, one: GridCell) -> list[Row] | None:
        """Rows of a restoration that is done."""
        found = self.cells.load(_cell(one.method, one.task, self.images.names[one.image]), self.fingerprint(one.method))
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
        record = {"rows": [asdict(row) for row in rows]}
        self.cells.save(_cell(one.method, one.task, name), fingerprint, {**arrays, "std": std}, record)
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


@contextmanager
def _workers(bench: _Bench, processes: int) -> Iterator[Callable[[GridCell], Future[tuple[list[Row], str]]]]:
    """Who does the work: this process, or others that end with it."""
    if processes == 1:

        def here(one: GridCell) -> Future[tuple[list[Row], str]]:
            future: Future[tuple[list[Row], str]] = Future()
            future.set_result(bench.measure(one))
            return future

        yield here
        return
    pool = ProcessPoolExecutor(processes, get_context("spawn"), _begin, (bench.setting,))
    try:
        yield lambda one: pool.submit(_measure, one)
    except BrokenProcessPool as error:
        raise BrgmError(
            "a process was ended from outside, perhaps for want of memory; run the command again, with --processes 1 "
            "if it happens again: what is done is kept"
        ) from error
    except BaseException:
        for process in list((pool._processes or {}).values()):  # what is half done is done again next time
            process.terminate()
        raise
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


_bench: _Bench | None = None  # of a worker


def _begin(setting: Setting) -> None:
    global _bench
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # who gave out the work ends it
    torch.set_num_threads(1)
    _bench = _Bench(setting)


def _measure(one: GridCell) -> tuple[list[Row], str]:
    assert _bench is not None
    return _bench.measure(one)
