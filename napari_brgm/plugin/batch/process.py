"""The batch's own process: ``napari-brgm batch --json``, found again after napari was closed, and stopped.

    <home>/batch.json               which one was started last
    <out>/.batch/progress.jsonl     what it prints
    <out>/.batch/said.txt           what it says to a person

Its number alone may be another's by now; with the time at which it began it is not.
"""

from __future__ import annotations

import json
import subprocess
import sys
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psutil

from napari_brgm.batch.ledger import Ledger
from napari_brgm.errors import OutputError
from napari_brgm.reason import reason_of
from napari_brgm.scans.staging import PRIVATE_FILE
from napari_brgm.zoo.folder import home, write_json

if TYPE_CHECKING:
    from typing import IO

__all__ = ["BatchWish", "StartedBatch", "last_batch", "progress_of", "said_of", "started_batch"]

_RECORD = "batch.json"
_PROGRESS, _SAID = ".batch/progress.jsonl", ".batch/said.txt"
_SAME = 0.01  # seconds
_MOST = 1 << 16  # bytes of what was said that are read
_begun: list[subprocess.Popen[bytes]] = []  # kept, so that their end is heard of although their panel is gone


@dataclass(frozen=True, slots=True)
class BatchWish:
    """What a person asked for.

    Attributes
    ----------
    out : str
        Folder of the results.
    task : {'inpaint', 'superres', 'clean'}
    prior : str
    samples : int
    scans, masks : str
        Folders; '' where a job file says all.
    job : str
        Job file; '' where folders are given.
    factor : int
        Of 'superres'.
    jpeg_quality : int
        Of 'clean'; 0: it is noise that is to be taken off.
    noise_sigma : float
        Of 'clean', in the scans' units.
    """

    out: str
    task: str
    prior: str
    samples: int = 32
    scans: str = ""
    masks: str = ""
    job: str = ""
    factor: int = 2
    jpeg_quality: int = 10
    noise_sigma: float = 0.0

    def arguments(self) -> list[str]:
        """Those of ``napari-brgm``."""
        found = ["batch", "--out", self.out, "--json"]
        for option, value in (("--scans", self.scans), ("--masks", self.masks), ("--job", self.job)):
            found += [option, value] if value else []
        found += [self.task, "--prior", self.prior, "--samples", str(self.samples)]
        if self.task == "superres":
            found += ["--factor", str(self.factor)]
        if self.task == "clean" and self.jpeg_quality:
            found += ["--jpeg-quality", str(self.jpeg_quality)]
        elif self.task == "clean":
            found += ["--noise-sigma", str(self.noise_sigma)]
        return found


@dataclass(frozen=True, slots=True)
class StartedBatch:
    """A batch and its process.

    Attributes
    ----------
    wish : BatchWish
    process : int
        Its number.
    began : float
        Seconds since the epoch.
    """

    wish: BatchWish
    process: int
    began: float

    @property
    def is_running(self) -> bool:
        """Whether it works."""
        return self._there() is not None

    def stop(self) -> None:
        """Ask it to end; what was finished is kept."""
        if (found := self._there()) is not None:
            with suppress(psutil.NoSuchProcess):
                found.terminate()

    def _there(self) -> psutil.Process | None:
        for own in _begun:
            own.poll()  # one that has ended must not stay as a zombie
        try:
            found = psutil.Process(self.process)
            same = abs(found.create_time() - self.began) < _SAME and found.status() != psutil.STATUS_ZOMBIE
        except psutil.Error:
            return None
        return found if same else None


def started_batch(wish: BatchWish) -> StartedBatch:
    """Start the process, or go on with what was stopped; it outlives napari.

    Raises
    ------
    OutputError
        The folder of the results, or the person's own, cannot be written.
    """
    out = Path(wish.out)
    Ledger(out)  # the hidden folder, for its owner alone
    command = [sys.executable, "-m", "napari_brgm", *wish.arguments()]
    try:
        with _opened(out / _PROGRESS) as progress, _opened(out / _SAID) as said:
            process = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=progress, stderr=said, start_new_session=True
            )
        _begun[:] = [one for one in _begun if one.poll() is None] + [process]
        found = StartedBatch(wish, process.pid, psutil.Process(process.pid).create_time())
        write_json(home() / _RECORD, {"wish": asdict(wish), "process": found.process, "began": found.began})
    except OSError as error:
        raise OutputError(f"cannot write {error.filename or wish.out}: {reason_of(error)}; check the folder") from error
    return found


def last_batch() -> StartedBatch | None:
    """What was started last, by this window or another; None where nothing was, or it cannot be told."""
    try:
        found: Any = json.loads((home() / _RECORD).read_text("utf-8"))
        return StartedBatch(BatchWish(**found["wish"]), int(found["process"]), float(found["began"]))
    except (OSError, ValueError, TypeError, KeyError):
        return None


def progress_of(out: Path) -> Path:
    """File of what the command prints."""
    return out / _PROGRESS


def said_of(out: Path) -> list[str]:
    """Lines of what the command said last."""
    try:
        with (out / _SAID).open("rb") as stream:
            text = stream.read(_MOST).decode("utf-8", "replace")
    except OSError:
        return []
    return [line.removeprefix("napari-brgm: ").strip() for line in text.splitlines() if line.strip()]


def _opened(path: Path) -> IO[bytes]:
    path.touch(PRIVATE_FILE)
    return path.open("wb")
