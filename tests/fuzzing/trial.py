"""Trial: one file read in a process of its own, which is forked, watched, and ended where it goes too far.

A fork takes milliseconds where importing torch takes seconds, and nothing that a file does to its process stays.
"""

from __future__ import annotations

import faulthandler
import json
import os
import resource
import select
import signal
import sys
import time
import traceback
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from napari_brgm.errors import BrgmError

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["ENDINGS", "HANG", "MEMORY", "WELL", "Trial", "tried"]

HANG = 20  # seconds of the processor's time, which a busy machine does not change
MEMORY = 512 << 20  # bytes, and three times the honest size
_WAIT = 6 * HANG  # seconds by the clock
_END = 3 << 30  # bytes at which a process is ended
_WATCH = 0.05  # seconds between two looks
_LARGEST_FILE = 1 << 28
_LONGEST = 1000  # characters of a sentence
WELL = ("read", "refused")
ENDINGS = (*WELL, "traceback", "crash", "hang", "memory")
_CODE = ("os.system", "os.exec", "os.fork", "os.forkpty", "os.posix_spawn", "os.spawn", "subprocess.Popen",
         "socket.connect", "pickle.find_class", "webbrowser.open")  # fmt: skip


@dataclass(frozen=True, slots=True)
class Trial:
    """How reading a file ended.

    Attributes
    ----------
    ending : str
        One of ``ENDINGS``.
    said : str
        The sentence, or the traceback.
    seconds : float
        Of the processor.
    peak : int
        Bytes that the process came to hold at most, above what it began with.
    honest : int
        Bytes of what was read; 0 where nothing was.
    """

    ending: str
    said: str
    seconds: float
    peak: int
    honest: int

    @property
    def is_well(self) -> bool:
        return self.ending in WELL

    def to_json(self) -> dict[str, Any]:
        return asdict(self)


def tried(read: Callable[[Path], int], path: Path, honest: int) -> Trial:
    """Read a path, alone in its folder; ``honest`` are the bytes of the sample that it was made from."""
    receive, send = os.pipe()
    sys.stdout.flush()
    pid = os.fork()
    if pid == 0:
        try:
            os.close(receive)
            _child(read, path, send)
        finally:
            os._exit(70)
    os.close(send)
    told, late = _watched(pid, receive)
    os.close(receive)
    _, status, used = os.wait4(pid, 0)
    began, _, report = told.partition(b"\n")
    scale = 1 if sys.platform == "darwin" else 1024
    peak = max(used.ru_maxrss * scale - int(began or 0), 0)
    seconds = used.ru_utime + used.ru_stime
    ending, said, size = json.loads(report) if report else ("crash", _death(status, path), 0)
    if late or (os.WIFSIGNALED(status) and os.WTERMSIG(status) == signal.SIGXCPU):
        ending, said = ("memory" if late == "memory" else "hang"), f"{seconds:.0f} s of the processor, {said}"
    elif ending in WELL and peak > MEMORY + 3 * max(honest, size):
        ending, said = "memory", f"{peak >> 20} MB for {max(honest, size)} bytes; {said}"
    return Trial(ending, said, round(seconds, 3), peak, size)


def _watched(pid: int, receive: int) -> tuple[bytes, str]:
    """What the process told, and why it was ended, if it was."""
    told, deadline = b"", time.monotonic() + _WAIT
    while True:
        ready, _, _ = select.select([receive], [], [], _WATCH)
        if ready:
            piece = os.read(receive, 1 << 16)
            if not piece:
                return told, ""
            told += piece
        late = "hang" if time.monotonic() > deadline else "memory" if _held(pid) > _END else ""
        if late:
            os.kill(pid, signal.SIGKILL)
            return told, late


def _held(pid: int) -> int:
    """Bytes that a process holds in memory."""
    try:
        return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * resource.getpagesize()
    except (OSError, IndexError):  # gone, or no such system
        return 0


def _child(read: Callable[[Path], int], path: Path, send: int) -> None:
    os.write(send, b"%d\n" % _held(os.getpid()))
    folder = path if path.is_dir() else path.parent
    before = {file: file.read_bytes() for file in folder.iterdir() if file.is_file()}
    resource.setrlimit(resource.RLIMIT_CPU, (HANG, HANG + 5))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    resource.setrlimit(resource.RLIMIT_FSIZE, (_LARGEST_FILE, _LARGEST_FILE))
    words = os.open(folder.parent / "words", os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
    os.dup2(words, 1)
    os.dup2(words, 2)
    faulthandler.enable(2)
    reached: list[str] = []
    sys.addaudithook(lambda event, args: reached.append(f"{event} {args!r:.80}") if event in _CODE else None)
    report: tuple[str, str, int]
    try:
        report = ("read", "", read(path))
    except BrgmError as error:
        said = str(error)
        plain = said.isprintable() and 0 < len(said) <= _LONGEST and type(error) is not BrgmError
        report = ("refused" if plain else "traceback", said if plain else f"no sentence: {said[:2000]!r}", 0)
    except BaseException:
        report = ("traceback", traceback.format_exc()[-6000:], 0)
    if reached:
        report = ("traceback", f"it reached for {reached[:3]}", 0)
    if before != {file: file.read_bytes() for file in folder.iterdir() if file.is_file()}:
        report = ("traceback", f"it changed the folder; {report[1]}", 0)
    os.write(send, json.dumps(report).encode())
    os._exit(0)


def _death(status: int, path: Path) -> str:
    """How a process died that told nothing."""
    by = signal.Signals(os.WTERMSIG(status)).name if os.WIFSIGNALED(status) else f"exit code {status >> 8}"
    words = ""
    with suppress(OSError):
        words = (path if path.is_dir() else path.parent).parent.joinpath("words").read_text(errors="replace")[-3000:]
    return f"the process died: {by}\n{words}"
