"""Rows of a batch on the workers of a dask scheduler, where one machine is not enough.

Scheduler and workers have this package installed, and workers see scans and results under the same paths: rows go by
path, results are files, and what was finished is on that disk. Never more than two rows a worker are under way; one
whose worker dies goes to another, which goes on from the slices that are there. Address, TLS and all else are as dask's
own configuration says.
"""

from __future__ import annotations

import queue
import time
from collections import deque
from contextlib import suppress
from typing import TYPE_CHECKING, Any
from uuid import uuid4

from napari_brgm.batch.outcome import RowOutcome
from napari_brgm.batch.processes import RowNews
from napari_brgm.errors import Cancelled, InputError
from napari_brgm.remote.scheduler import CONNECT_SECONDS, ONE_AT_A_TIME, dask_distributed, knock, no_scheduler

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from napari_brgm.batch.row import BatchRow

__all__ = ["told_by_cluster"]

_IN_FLIGHT = 2  # rows a worker has, at most
_WAIT, _ASKED, _TOLD = 0.5, 1.0, 1.0  # seconds between looks, questions whether to go on, and messages
_TRIES = 3
_SAID = 200  # characters of what a worker said


def told_by_cluster(
    rows: Sequence[BatchRow], work: Any, address: str, same: Callable[[], Any], shared: Callable[[Any], bool]
) -> Iterator[RowNews]:  # fmt: skip
    """Work on rows on a cluster, and give what its workers tell as it comes.

    Parameters
    ----------
    rows : sequence of BatchRow
    work : callable
        As of ``told_by_processes``.
    address : str
        Of the scheduler, such as 'tcp://head:8786' or 'tls://head:8786'.
    same : callable
        Gives what must be the same on every worker as here: versions and the prior's hash.
    shared : callable
        As of ``told_by_processes``.

    Raises
    ------
    InputError
        dask is not installed, or there is no scheduler at this address.
    """
    distributed = dask_distributed()
    try:
        knock(address)
        client = distributed.Client(address, timeout=CONNECT_SECONDS, set_as_default=False)
    except (OSError, ValueError, TimeoutError) as error:
        raise InputError(no_scheduler(address, error)) from error
    run = f"napari-brgm-{uuid4().hex[:12]}"
    stop = distributed.Event(run, client=client)
    try:
        yield from _Run(client, rows, _OnWorker(work, same, same(), run), run).told(shared)
    finally:
        with suppress(Exception):  # the scheduler may be gone
            stop.set(timeout=2)
        with suppress(Exception):
            client.close(timeout=2)


class _Run:
    """Rows on their way."""

    def __init__(self, client: Any, rows: Sequence[BatchRow], on_worker: _OnWorker, topic: str) -> None:
        self.client, self.on_worker, self.topic = client, on_worker, topic
        self.pending = deque(rows)
        self.flying: dict[Any, BatchRow] = {}  # by future
        self.by_name = {row.name: row for row in rows}
        self.done: set[str] = set()
        self.helped: set[str] = set()
        self.tries: dict[str, int] = {}
        self.heard: queue.SimpleQueue[tuple[str, float, int]] = queue.SimpleQueue()

    def told(self, shared: Callable[[Any], bool]) -> Iterator[RowNews]:
        self.client.subscribe_topic(self.topic, self._hear)
        while len(self.done) < len(self.by_name):
            self._send()
            began = time.monotonic()
            while not any(future.done() for future in self.flying) and time.monotonic() - began < _WAIT:
                time.sleep(0.02)
            while not self.heard.empty():
                name, share, slices = self.heard.get()
                if name not in self.done:
                    yield RowNews(self.by_name[name], share, slices)
            for future in [one for one in self.flying if one.done()]:
                row = self.flying.pop(future)
                if row.name not in self.done:
                    yield from self._ended(future, row, shared)
            if self.client.status not in ("running", "connecting"):
                raise InputError("the scheduler is gone; what was finished is kept: give the command again")

    def _ended(self, future: Any, row: BatchRow, shared: Callable[[Any], bool]) -> Iterator[RowNews]:
        others = row in self.flying.values()
        if future.status == "error" and not isinstance(error := future.exception(), dask_distributed().KilledWorker):
            self.done.add(row.name)
            said = " ".join(f"{type(error).__name__}: {error}".split())[:_SAID]
            reason = f"the cluster could not begin with it ({said}); install the same there as here, scheduler included"
            yield RowNews(row, 1.0, 0, RowOutcome(reason=reason))
            return
        if future.status != "finished":
            self.tries[row.name] = self.tries.get(row.name, 0) + 1
            if others:
                return
            if self.tries[row.name] < _TRIES:
                self.pending.append(row)
                return
            self.done.add(row.name)
            yield RowNews(row, killed=self.tries[row.name])
            return
        outcome = future.result()
        if not shared(outcome):
            self.done.add(row.name)
            yield RowNews(row, 1.0, 0, outcome)
        elif others:
            self.helped.add(row.name)
        else:
            self.pending.append(row)

    def _send(self) -> None:
        """Give rows to workers, as many as are not too many; where none is left, help with those under way."""
        workers = len(self.client.scheduler_info(n_workers=-1)["workers"])
        while self.pending and len(self.flying) < _IN_FLIGHT * workers:
            self._submit(self.pending.popleft())
        open_rows = [row for row in self.flying.values() if row.name not in self.helped | self.done]
        if not self.pending and open_rows and len(self.flying) < workers:
            names = [row.name for row in self.flying.values()]
            self._submit(min(open_rows, key=lambda row: names.count(row.name)))

    def _submit(self, row: BatchRow) -> None:
        future = self.client.submit(self.on_worker, row, pure=False, key=f"{self.topic}-{uuid4().hex[:8]}")
        self.flying[future] = row

    def _hear(self, event: Any) -> None:
        _, message = event
        self.heard.put((message["row"], message["share"], message["slices"]))


class _OnWorker:
    """What a worker does with a row."""

    def __init__(self, work: Any, same: Callable[[], Any], expected: Any, run: str) -> None:
        self.work, self.same, self.expected, self.run = work, same, expected, run

    def __call__(self, row: BatchRow) -> Any:
        import torch

        distributed = dask_distributed()
        worker = distributed.get_worker()
        if (found := self.same()) != self.expected:
            return RowOutcome(
                reason=f"worker {worker.address} has {found} and not {self.expected}; install the same there"
            )
        stop, at = distributed.Event(self.run), [time.monotonic(), 0.0]

        def tell(share: float, slices: int) -> None:
            now = time.monotonic()
            if now - at[0] > _ASKED:
                at[0] = now
                if stop.is_set():
                    raise Cancelled("the batch was stopped")
            if now - at[1] > _TOLD:
                at[1] = now
                worker.log_event(self.run, {"row": row.name, "share": share, "slices": slices})

        with ONE_AT_A_TIME:
            if stop.is_set():
                return RowOutcome(reason="the batch was stopped")
            torch.set_num_threads(1)  # as processes of one machine have, for the same results
            return self.work(row, tell)
