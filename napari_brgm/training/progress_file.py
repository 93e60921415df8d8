"""progress.json in the work folder: where a training stands, for whoever looks at it from another process.

While a training goes on it holds the lock of running.lock, so that two never work in one folder, and a process that
was killed is not taken for one that works.
"""

from __future__ import annotations

import json
import os
import time
from typing import TYPE_CHECKING, Any, Literal

from filelock import FileLock, Timeout

from napari_brgm.errors import InputError, OutputError
from napari_brgm.reason import reason_of
from napari_brgm.whole_file import whole_file

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["ProgressFile", "State", "is_running", "read_progress"]

State = Literal["running", "stopped", "failed", "done"]
_EVERY = 1.0  # seconds between writes
_LOCK = "running.lock"


class ProgressFile:
    """Written about once a second while something goes on.

    Keys: ``state`` ('running', 'stopped', 'failed', 'done'), ``stage`` and ``text`` for a person, ``done`` and
    ``total`` of the stage, ``process`` (its number), ``time`` (seconds since the epoch), ``out`` (the weights file).

    Raises
    ------
    InputError
        Another training goes on in this folder.
    OutputError
        The folder cannot be written.
    """

    def __init__(self, work: Path, out: Path) -> None:
        self.path = work / "progress.json"
        self._content: dict[str, Any] = {
            "state": "running", "stage": "survey", "text": "", "done": 0, "total": 0, "process": os.getpid(),
            "out": str(out.resolve()),
        }  # fmt: skip
        self._written = 0.0
        try:
            work.mkdir(parents=True, exist_ok=True)
            self._lock = FileLock(work / _LOCK)
            self._lock.acquire(timeout=0)
        except Timeout as error:
            raise InputError(
                f"a training goes on in {work} already; stop it first, or choose another --work"
            ) from error
        except OSError as error:
            raise OutputError(f"cannot make the work folder {work}: {reason_of(error)}; choose another") from error
        self._write()

    def stage(self, name: str) -> None:
        """Begin a stage."""
        self._content |= {"stage": name, "done": 0, "total": 0, "text": ""}
        self._write()

    def tell(self, done: int, total: int, text: str = "") -> None:
        """So much of the stage is done."""
        self._content |= {"done": done, "total": total} | ({"text": text} if text else {})
        if time.monotonic() - self._written > _EVERY:
            self._write()

    def say(self, text: str) -> None:
        """What is told to a person last."""
        self._content["text"] = text
        self._write()

    def end(self, state: State, text: str = "") -> None:
        """Nothing goes on any more."""
        self._content |= {"state": state} | ({"text": text} if text else {})
        self._write()
        self._lock.release()

    def _write(self) -> None:
        self._written = time.monotonic()
        try:
            with whole_file(self.path) as draft:
                draft.write_text(json.dumps(self._content | {"time": time.time()}) + "\n", encoding="utf-8")
        except OSError as error:
            raise OutputError(f"cannot write to the work folder {self.path.parent}: {reason_of(error)}") from error


def is_running(work: Path) -> bool:
    """Whether a process works in this folder now."""
    lock = work / _LOCK
    if not lock.exists():
        return False
    try:
        with FileLock(lock, timeout=0):
            return False
    except Timeout:
        return True
    except OSError:
        return False


def read_progress(work: Path) -> dict[str, Any] | None:
    """What a training has written of itself, or None where none has, or what is there is none of that."""
    try:
        found = json.loads((work / "progress.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return found if isinstance(found, dict) and {"state", "stage", "done", "total", "time"} <= found.keys() else None
