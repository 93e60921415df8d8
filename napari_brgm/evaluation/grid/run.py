"""run_grid(): methods x tasks x images in one or two processes; what is done is kept, and is not done again."""

from __future__ import annotations

import signal
from collections import deque
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from dataclasses import dataclass
from multiprocessing import get_context
from typing import TYPE_CHECKING

import torch

from napari_brgm.errors import BrgmError, InputError
from napari_brgm.evaluation.grid.bench import GridBench, GridCell, base_of
from napari_brgm.evaluation.grid.image_row import digest_of
from napari_brgm.evaluation.grid.rows import ROWS_FILE
from napari_brgm.evaluation.held_out import evenly_spaced

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from napari_brgm.evaluation.grid.catalogue import Setting
    from napari_brgm.evaluation.grid.rows import Row

    Tell = Callable[[int, int, str], None]

__all__ = ["GridResult", "run_grid"]

_AHEAD = 4  # work given out before it is asked for


@dataclass(frozen=True, slots=True)
class GridResult:
    """Rows in the order of the work, and a sentence for each method and task that failed."""

    rows: list[Row]
    failures: list[str]


def run_grid(
    setting: Setting, methods: Sequence[str], tasks: Sequence[str], tell: Tell | None = None, *, processes: int = 1,
    fewer: dict[str, int] | None = None, images: Sequence[int] | None = None, earlier: Sequence[Row] = (),
    rows_suffice: bool = False, bench: GridBench | None = None,
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
    images : sequence of int, optional
        Numbers of the images of ``Setting.count`` that are restored, and not all.
    earlier : sequence of Row
        Rows that these will stand beside.
    rows_suffice : bool
        What ``earlier`` has rows of is done, though its pictures may be gone; else it is made again.
    bench : GridBench, optional
        Of this setting, where there is one: its images are not read again.

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
    bench = bench or GridBench(setting)
    numbers = list(range(len(bench.images)) if images is None else images)
    work: deque[GridCell] = deque()
    done_before = _by_cell(setting, earlier) if rows_suffice else {}

    def kept_rows(one: GridCell) -> list[Row] | None:
        return bench.rows(one) or done_before.get((one.task, one.method, bench.images.names[one.image]))

    for name in methods:
        method = bench.method(name)
        _refuse_others(name, digest_of(bench.fingerprint(name)), setting, earlier)
        count = min((fewer or {}).get(name, len(numbers)), len(numbers))
        picked = [numbers[i] for i in evenly_spaced(len(numbers), count)]
        work += [GridCell(name, task, i) for task in tasks if method.solves(bench.tasks[task]) for i in picked]
        if processes > 1 and any(kept_rows(one) is None for one in work if one.method == name):
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
        kept = kept_rows(one)
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


def _by_cell(setting: Setting, rows: Sequence[Row]) -> dict[tuple[str, str, str], list[Row]]:
    """Rows of this set by task, method whose restoration they are of, and image."""
    found: dict[tuple[str, str, str], list[Row]] = {}
    for row in rows:
        if row.set == setting.held.name:
            found.setdefault((row.task, base_of(row.method), row.image), []).append(row)
    return found


def _refuse_others(name: str, digest: str, setting: Setting, earlier: Sequence[Row]) -> None:
    """Rows of one method are of one seed, prior, settings and version."""
    for row in earlier:
        if row.set == setting.held.name and name in (row.method, base_of(row.method)) and row.fingerprint != digest:
            raise InputError(
                f"{setting.out} holds rows of {name} made with another seed, prior, settings or version; choose "
                f"another folder with --out, or move its {ROWS_FILE} away"
            )


@contextmanager
def _workers(bench: GridBench, processes: int) -> Iterator[Callable[[GridCell], Future[tuple[list[Row], str]]]]:
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


_bench: GridBench | None = None  # of a worker


def _begin(setting: Setting) -> None:
    global _bench
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # who gave out the work ends it
    torch.set_num_threads(1)
    _bench = GridBench(setting)


def _measure(one: GridCell) -> tuple[list[Row], str]:
    assert _bench is not None
    return _bench.measure(one)
