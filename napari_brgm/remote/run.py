"""run_there(): a job on a worker of a dask scheduler, told of and given back as ``engine.run.run`` does it here.

Whoever calls is never kept waiting by the network: a thread of its own talks to the scheduler. It asks the worker a few
times a second how far it is, so that a worker that is asked no more knows that it works for nobody.
"""

from __future__ import annotations

import asyncio
import math
import struct
import threading
import time
from contextlib import suppress
from queue import Empty, SimpleQueue
from typing import TYPE_CHECKING, Any
from uuid import uuid4

from napari_brgm.errors import BackendError, BrgmError, Cancelled, InputError
from napari_brgm.inference import Step
from napari_brgm.reason import reason_of
from napari_brgm.remote import worker as there
from napari_brgm.remote.plain import plain_job, restoration_of, step_of
from napari_brgm.remote.scheduler import CONNECT_SECONDS, checked_address, dask_distributed, knock, no_scheduler
from napari_brgm.scans.record import version
from napari_brgm.text import plain_text, shortened

if TYPE_CHECKING:
    from collections.abc import Callable, Collection

    from napari_brgm.engine.job import Job
    from napari_brgm.engine.restoration import Restoration

__all__ = ["WAITING", "run_there"]

WAITING = "waiting"  # phase of steps that are told before the worker has begun
_LOOK, _TELL = 0.3, 0.1  # seconds between questions to the worker, and to whoever is told
_ANSWER, _GONE = 5.0, 30.0  # seconds that an answer may take; and without any, after which a worker is lost
_SEND = 600.0  # that the pixels may take


def run_there(
    job: Job, prior: str, address: str, tell: Callable[[Step], object] | None = None,
    keep: Callable[[int, Restoration], Restoration] | None = None, only: Collection[int] | None = None,
) -> list[Restoration | InputError]:  # fmt: skip
    """Restore the slices of a job on the least busy worker.

    Parameters
    ----------
    job : Job
        Its prior names the one that the worker has to have: bytes for bytes the same.
    prior : str
        Name under which ``load_prior`` finds it there.
    address : str
        Of the scheduler, such as 'tcp://head:8786'.
    tell : callable, optional
        As of ``engine.run.run``: asked ten times a second whether to go on.
    keep, only : optional
        As of ``engine.run.run``. Pixels of slices by themselves that are not wanted stay here.

    Raises
    ------
    InputError
        What was asked for cannot be done with any slice, anywhere.
    BackendError
        Scheduler or worker cannot be reached, were lost, or refuse the run; ``finished`` holds what came back by then.
    Cancelled
        With what came back by then in its ``finished``.
    """
    wanted = range(job.count) if only is None else sorted(set(only))
    talk = _Talk(plain_job(job, prior, only), checked_address(address))
    finished: dict[int, Restoration] = {}
    step = Step(WAITING, 0, 1, math.nan, slices=job.count)
    thread = threading.Thread(target=talk.hold, name="napari-brgm backend", daemon=True)
    thread.start()
    try:
        while True:
            try:
                news = talk.news.get(timeout=_TELL)
            except Empty:
                news = None
            match news:
                case Step():
                    step = news
                case (int(number), result):
                    finished[number] = result if keep is None else keep(number, result)
                case dict():
                    return [finished[i] if i in finished else InputError(news[i]) for i in wanted]
                case BaseException():
                    raise news
            if tell is not None and (news is None or isinstance(news, Step)):
                tell(step)
    except (Cancelled, BackendError) as stop:
        stop.finished = dict(sorted(finished.items()))
        raise
    finally:
        talk.stop.set()


class _Talk:
    """One run, as the thread sees it that talks to the scheduler.

    Attributes
    ----------
    news : SimpleQueue
        Steps; numbers of slices with their restorations; in the end the reasons of those that failed, or an error.
    stop : Event
    """

    def __init__(self, job: dict[str, Any], address: str) -> None:
        self.job, self.address = job, address
        self.news: SimpleQueue[Any] = SimpleQueue()
        self.stop = threading.Event()
        self._run = f"napari-brgm-{uuid4().hex[:12]}"
        self._seen = 0  # previews that came

    def hold(self) -> None:
        """Talk until the end; whatever happens is news."""
        try:
            self.news.put(asyncio.run(self._connected()))
        except BrgmError as error:
            self.news.put(error)
        except Exception as error:
            said = shortened(f"{type(error).__name__}: {error}", 200)
            self.news.put(BackendError(f"the run on {plain_text(self.address)} failed ({said})"))

    async def _connected(self) -> Any:
        distributed = dask_distributed()
        client: Any = None
        try:
            try:
                await asyncio.to_thread(knock, self.address)
                client = distributed.Client(
                    self.address, asynchronous=True, timeout=CONNECT_SECONDS, set_as_default=False
                )
                await asyncio.wait_for(client, 2 * CONNECT_SECONDS)  # dask waits on where a server says nothing
            except (OSError, ValueError, TimeoutError) as error:
                raise BackendError(no_scheduler(self.address, error)) from error
            except (MemoryError, struct.error) as error:  # another server's first bytes, taken for lengths
                where = plain_text(self.address)
                raise BackendError(f"what answers at {where} is no dask scheduler; check host and port") from error
            return await self._talked(client)
        finally:
            with suppress(Exception):  # the scheduler may be gone, or there is none
                await asyncio.wait_for(client.close(), 2)

    async def _talked(self, client: Any) -> Any:
        worker = await self._least_busy(client)
        refused = await self._asked(client, worker, _SEND, there.begin, self._run, version(), self.job)
        if refused:
            raise BackendError(f"the worker {plain_text(worker)} refuses the run: {refused}")
        self.job = {}
        future = client.submit(there.work, self._run, workers=[worker], pure=False, key=self._run)
        heard = time.monotonic()
        try:
            while not self.stop.is_set():
                self._check_scheduler(client)
                ended = future.done()  # before the look: what is there by then is all
                try:
                    await self._look(client, worker)
                    heard = time.monotonic()
                except (OSError, TimeoutError):
                    await self._check(client, worker, time.monotonic() - heard)
                if ended:
                    return await self._ended(future, worker)
                await asyncio.sleep(_LOOK)
            return Cancelled("the run was stopped")
        finally:
            with suppress(Exception):  # it stops by itself, once nobody asks
                await self._asked(client, worker, 1, there.end, self._run)

    async def _least_busy(self, client: Any) -> str:
        workers = await asyncio.wait_for(client.nthreads(), _ANSWER)
        busy = await asyncio.wait_for(client.processing(), _ANSWER)
        if not workers:
            raise BackendError(f"the scheduler at {plain_text(self.address)} has no workers; start one there")
        return str(min(workers, key=lambda name: len(busy.get(name, ()))))

    async def _asked(self, client: Any, worker: str, seconds: float, question: Any, *given: Any) -> Any:
        """Call a function on the worker.

        Raises
        ------
        OSError, TimeoutError
            It does not answer.
        BackendError
            It cannot: another version is there, or none.
        """
        try:
            answers = await asyncio.wait_for(client.run(question, *given, workers=[worker]), seconds)
        except (ImportError, AttributeError) as error:
            raise BackendError(
                f"the worker {plain_text(worker)} has no napari-brgm that fits ({reason_of(error)}); "
                "install the same there as here"
            ) from error
        return answers[worker]

    async def _look(self, client: Any, worker: str) -> None:
        found = await self._asked(client, worker, _ANSWER, there.look, self._run, self._seen)
        if found is None:
            return
        for number in found["finished"]:
            result = await self._asked(client, worker, _SEND, there.take, self._run, number)
            if result is not None:
                self.news.put((number, restoration_of(result)))
        if found["step"] is None:
            return
        self._seen = found["shown"]
        if not found["previews"]:
            self.news.put(step_of(found["step"], None))
        for slice_, preview in found["previews"].items():  # of the step at which they were made, maybe an earlier one
            self.news.put(step_of(found["step"] | {"slice": slice_}, preview))

    def _check_scheduler(self, client: Any) -> None:
        if client.status != "running":  # it would connect again, to a scheduler that has forgotten the run
            raise BackendError(f"the scheduler at {plain_text(self.address)} is gone")

    async def _check(self, client: Any, worker: str, silent: float) -> None:
        """Say what is lost, where a question was not answered."""
        self._check_scheduler(client)
        try:
            workers = await asyncio.wait_for(client.nthreads(), _ANSWER)
        except Exception as error:
            raise BackendError(f"the scheduler at {plain_text(self.address)} is gone") from error
        if worker not in workers or silent > _GONE:
            raise BackendError(f"the worker {plain_text(worker)} was lost while it restored")

    async def _ended(self, future: Any, worker: str) -> dict[int, str]:
        """Reasons of slices that failed."""
        if future.status != "finished":
            raise BackendError(f"the worker {plain_text(worker)} was lost while it restored")
        found = await asyncio.wait_for(future.result(), _ANSWER)
        if "input" in found:
            error = InputError(found["input"])
            error.number = found["number"]
            raise error
        if "refused" in found:
            raise BackendError(f"the worker {plain_text(worker)} refuses the run: {found['refused']}")
        reasons: dict[int, str] = found["failed"]
        return reasons
