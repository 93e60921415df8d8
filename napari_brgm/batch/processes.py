"""Processes that work on rows and may be killed at any time; what a killed one worked on goes to another.

Each has a pipe of its own. One that loses its parent ends by itself. Rows go to whoever is idle; where none is left, an
idle process helps with a row that another works on, whose parts they share by locks (cli/kept.py).
"""

from __future__ import annotations

import multiprocessing
import os
import threading
import time
from collections import deque
from contextlib import suppress
from dataclasses import dataclass, field
from multiprocessing.connection import Connection, wait
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from multiprocessing.process import BaseProcess

    from napari_brgm.batch.row import BatchRow

__all__ = ["RowNews", "told_by_processes"]

_TRIES = 3  # of a row whose process was ended from outside
_WAIT = 0.5  # seconds
_END = 10.0  # seconds that a process has to clean up


@dataclass(frozen=True, slots=True)
class RowNews:
    """What a process told of a row.

    Attributes
    ----------
    row : BatchRow
    share : float
        Of it that is done, 0 .. 1.
    slices : int
        That it has, as far as is known.
    outcome : object
        What ``work`` gave at its end; None before.
    killed : int
        Times that a process was ended from outside while working on it, where that was once too often; else 0.
    """

    row: BatchRow
    share: float = 0.0
    slices: int = 0
    outcome: Any = None
    killed: int = 0


@dataclass(slots=True, eq=False)
class _Worker:
    process: BaseProcess
    pipe: Connection
    row: BatchRow | None = None


@dataclass(slots=True)
class _Open:
    """Rows that are not done."""

    pending: deque[BatchRow]
    at_work: dict[str, list[_Worker]] = field(default_factory=dict)
    ends: dict[str, int] = field(default_factory=dict)  # times that a process was ended over it
    helped: set[str] = field(default_factory=set)  # whose other parts are all taken
    done: set[str] = field(default_factory=set)


def told_by_processes(
    rows: Sequence[BatchRow], work: Any, count: int, environments: Sequence[dict[str, str]],
    shared: Callable[[Any], bool],
) -> Iterator[RowNews]:  # fmt: skip
    """Work on rows in ``count`` processes, and give what they tell as it comes.

    Parameters
    ----------
    rows : sequence of BatchRow
    work : callable
        A function of a module, called in the processes with a row and a callable for (share done, slices); gives an
        outcome.
    count : int
    environments : sequence of dict
        Variables of the processes, in turn.
    shared : callable
        Whether an outcome says that others are at work on the rest of the row.
    """
    left = _Open(deque(rows))
    workers: list[_Worker] = []
    made = 0
    try:
        while left.pending or left.at_work:
            while len(workers) < count:
                workers.append(_started(work, environments[made % len(environments)]))
                made += 1
            for worker in workers:
                if worker.row is None:
                    _give(worker, left)
            ready = wait([*(worker.pipe for worker in workers), *(w.process.sentinel for w in workers)], _WAIT)
            for worker in list(workers):
                if worker.pipe in ready or worker.process.sentinel in ready:
                    yield from _heard(worker, workers, left, shared)
    finally:
        _end(workers)


def _give(worker: _Worker, left: _Open) -> None:
    """Give an idle process a row: the next one, else one that is at work and has parts left."""
    row = left.pending.popleft() if left.pending else None
    if row is None:
        open_rows = [name for name in left.at_work if name not in left.helped and name not in left.ends]
        if not open_rows:
            return
        row = left.at_work[min(open_rows, key=lambda name: len(left.at_work[name]))][0].row
    assert row is not None
    try:
        worker.pipe.send(row)
    except OSError:  # it has just ended
        if row.name not in left.at_work:
            left.pending.appendleft(row)
        return
    worker.row = row
    left.at_work.setdefault(row.name, []).append(worker)


def _heard(worker: _Worker, workers: list[_Worker], left: _Open, shared: Callable[[Any], bool]) -> Iterator[RowNews]:
    """What a process has told by now, or that it is gone."""
    try:
        while worker.pipe.poll():
            share, slices, outcome = worker.pipe.recv()
            row = worker.row
            assert row is not None
            if outcome is None:
                yield RowNews(row, share, slices)
                continue
            worker.row = None
            others = _off(worker, row, left)
            if row.name in left.done:
                continue
            if not shared(outcome):
                left.done.add(row.name)
                left.at_work.pop(row.name, None)  # others find nothing to do
                yield RowNews(row, 1.0, slices, outcome)
            elif others:
                left.helped.add(row.name)
            else:  # the others have ended by now
                left.pending.appendleft(row)
    except (EOFError, OSError):
        pass
    if worker.process.is_alive():
        return
    workers.remove(worker)
    worker.pipe.close()
    row = worker.row
    if row is None or row.name in left.done:
        return
    others = _off(worker, row, left)
    left.helped.discard(row.name)
    left.ends[row.name] = left.ends.get(row.name, 0) + 1
    if others:
        return
    if left.ends[row.name] >= _TRIES:
        left.done.add(row.name)
        yield RowNews(row, killed=left.ends[row.name])
    else:
        left.pending.appendleft(row)


def _off(worker: _Worker, row: BatchRow, left: _Open) -> list[_Worker]:
    """Take a process off a row; gives those that are still at work on it."""
    others = [one for one in left.at_work.get(row.name, []) if one is not worker]
    if others:
        left.at_work[row.name] = others
    else:
        left.at_work.pop(row.name, None)
    return others


def _started(work: Any, environment: dict[str, str]) -> _Worker:
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe()
    process = context.Process(target=_serve, args=(theirs, work), daemon=True)
    before = {name: os.environ.get(name) for name in environment}
    os.environ.update(environment)
    try:
        process.start()
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value
    theirs.close()
    return _Worker(process, ours)


def _serve(pipe: Connection, work: Any) -> None:
    """What a process does: rows as they come, until the pipe or the parent ends."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        threading.Thread(target=_follow, args=(parent,), daemon=True).start()
    with suppress(EOFError, OSError, KeyboardInterrupt):
        while True:
            row = pipe.recv()
            slices = [0]

            def tell(share: float, count: int, slices: list[int] = slices) -> None:
                slices[0] = count
                pipe.send((share, count, None))

            outcome = work(row, tell)
            pipe.send((1.0, slices[0], outcome))


def _follow(parent: BaseProcess) -> None:
    """End with the parent, however that ends."""
    parent.join()
    os._exit(1)


def _end(workers: list[_Worker]) -> None:
    """End processes: they clean up, or are killed."""
    for worker in workers:
        if worker.row is not None:
            worker.process.terminate()
        worker.pipe.close()
    until = time.monotonic() + _END
    for worker in workers:
        worker.process.join(max(until - time.monotonic(), 0.1))
        if worker.process.is_alive():
            worker.process.kill()
            worker.process.join()
