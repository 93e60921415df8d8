"""What a worker does with a run that is sent to it: begun, restored by a task, and looked at meanwhile.

All of it is called by name from another machine. Pixels and results stay in this process, until they are taken, the run
is stopped, or nobody has asked for them for a minute: they are no data of dask's, which could put them on a disk.
"""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from napari_brgm.engine.previews import Previews
from napari_brgm.errors import BrgmError, Cancelled, InputError
from napari_brgm.reason import lacks_memory
from napari_brgm.remote.scheduler import ONE_AT_A_TIME
from napari_brgm.scans.record import version
from napari_brgm.text import plain_text

if TYPE_CHECKING:
    from napari_brgm.engine.restoration import Restoration
    from napari_brgm.inference import Step
    from napari_brgm.priors.prior import Prior

__all__ = ["begin", "end", "look", "take", "work"]

_SILENT = 60.0  # seconds without a question, after which whoever sent the run is taken to be gone
_WAIT = 0.1
_RUNS: dict[str, _SentRun] = {}
_LAST: dict[tuple[str, str], Prior] = {}  # the prior of the last run, by name and hash


@dataclass(slots=True, eq=False)
class _SentRun:
    job: dict[str, Any]
    step: dict[str, Any] | None = None
    previews: Previews = field(default_factory=Previews)
    shown: int = 0  # previews so far
    finished: dict[int, dict[str, Any]] = field(default_factory=dict)
    stop: threading.Event = field(default_factory=threading.Event)
    asked: float = field(default_factory=time.monotonic)

    def check(self) -> None:
        """Cancelled: nobody wants it any more."""
        if self.stop.is_set() or time.monotonic() - self.asked > _SILENT:
            raise Cancelled("the run was stopped")


def begin(run: str, expected: str, job: dict[str, Any]) -> str:
    """Take a run up; gives why not, or ''."""
    if version() != expected:
        return f"it has napari-brgm {version()} and not {expected}; install the same there"
    _RUNS[run] = _SentRun(job)
    return ""


def look(run: str, seen: int) -> dict[str, Any] | None:
    """How far it is: the last step, slices to be taken, and previews if there are more than ``seen`` by now.

    None: the run is not known here.
    """
    found = _RUNS.get(run)
    if found is None:
        return None
    found.asked = time.monotonic()
    shown = found.shown
    previews = dict(found.previews) if shown > seen else {}
    return {"step": found.step, "shown": shown, "previews": previews, "finished": sorted(found.finished)}


def take(run: str, number: int) -> dict[str, Any] | None:
    """A finished slice, once."""
    found = _RUNS.get(run)
    if found is None:
        return None
    found.asked = time.monotonic()
    return found.finished.pop(number, None)


def end(run: str) -> None:
    """Stop at the next step, and forget it."""
    found = _RUNS.pop(run, None)
    if found is not None:
        found.stop.set()
        found.finished.clear()


def work(run: str) -> dict[str, Any]:
    """Restore; gives ``failed`` (reasons by slice), or what was wrong with all of it.

    That is ``input`` (with the ``number`` of a slice), which is wrong anywhere, or ``refused``, which is the worker's.
    """
    found = _RUNS.get(run)
    if found is None:
        return {"refused": "the worker was started again"}
    try:
        while not ONE_AT_A_TIME.acquire(timeout=_WAIT):
            found.check()
        try:
            return {"failed": _restored(found)}
        finally:
            ONE_AT_A_TIME.release()
            _wait_until_taken(found)
    except Cancelled:
        return {"failed": {}}
    except InputError as error:
        return {"input": str(error), "number": error.number}
    except BrgmError as error:
        return {"refused": str(error)}
    except Exception as error:
        reason = "there is not enough memory" if lacks_memory(error) else f"unexpected {type(error).__name__}"
        return {"refused": plain_text(f"{reason}: {error}")}
    finally:
        _RUNS.pop(run, None)


def _restored(found: _SentRun) -> dict[int, str]:
    from napari_brgm.engine.run import run
    from napari_brgm.remote.plain import job_of, plain_restoration, plain_step

    found.check()
    job = job_of(found.job, _loaded(found.job["prior"], found.job["sha256"]))
    only = found.job["only"]
    found.job = {}

    def tell(step: Step) -> None:
        found.check()
        found.step = plain_step(step)
        found.previews.tell(step)
        found.shown += step.preview is not None

    def keep(number: int, result: Restoration) -> Restoration:
        found.finished[number] = plain_restoration(result)
        return result.without_samples()

    results = run(job, tell, keep, only)
    numbers = range(job.count) if only is None else only
    return {i: str(result) for i, result in zip(numbers, results, strict=True) if isinstance(result, InputError)}


def _loaded(name: str, sha256: str) -> Prior:
    """The prior of this name, if it is the one that is meant."""
    from napari_brgm.errors import WeightsError
    from napari_brgm.zoo.registry import load_prior

    if (name, sha256) not in _LAST:
        prior = load_prior(name)
        if prior.info.weights_sha256 != sha256:
            raise WeightsError(f"its prior {name} is another than that of this machine (the hashes differ)")
        _LAST.clear()
        _LAST[name, sha256] = prior
    return _LAST[name, sha256]


def _wait_until_taken(found: _SentRun) -> None:
    while found.finished:
        found.check()
        time.sleep(_WAIT)
