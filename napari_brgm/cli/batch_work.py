"""What a process of a batch does with a row: the shell's own command, what it prints caught, its prior kept loaded."""

from __future__ import annotations

import io
import sys
import threading
import time
from contextlib import redirect_stderr, redirect_stdout
from functools import partial
from typing import TYPE_CHECKING, Any

from napari_brgm.batch.outcome import RowOutcome
from napari_brgm.cli.kept import Unfinished
from napari_brgm.errors import BrgmError
from napari_brgm.reason import lacks_memory, reason_of

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from napari_brgm.batch.row import BatchRow

__all__ = ["shell_work"]

_NOTE = "note: "


def shell_work(task: str, common: Sequence[str], out: Path) -> Any:
    """What ``run_batch`` calls in its processes with each row."""
    return partial(_work, task, tuple(common), out)


def _work(task: str, common: Sequence[str], out: Path, row: BatchRow, tell: Callable[[float, int], None]) -> RowOutcome:
    from napari_brgm.cli.loaded import keep_loaded
    from napari_brgm.cli.progress import telling
    from napari_brgm.cli.stopping import stop_on_signals
    from napari_brgm.cli.tasks import run_task

    if threading.current_thread() is threading.main_thread():
        stop_on_signals()
    keep_loaded()
    began = time.monotonic()
    printed, told = (io.TextIOWrapper(io.BytesIO(), "utf-8", "surrogateescape", newline="\n") for _ in range(2))
    reason, shared = "", False
    try:
        with redirect_stdout(printed), redirect_stderr(told), telling(lambda step: tell(step.done, step.slices)):
            run_task(task, row.arguments(task, common, out)[1:])
    except Unfinished:
        shared = True
    except BrgmError as error:
        reason = str(error)
    except Exception as error:
        reason = _sentence(error)
    lines = [_text(stream).splitlines() for stream in (printed, told)]
    notes = tuple(dict.fromkeys(line.removeprefix(_NOTE) for line in lines[1] if line.startswith(_NOTE)))
    return RowOutcome(tuple(lines[0]), notes, " ".join(reason.split()), shared, time.monotonic() - began)


def _sentence(error: Exception) -> str:
    """Why a row failed, where it is none of our own errors."""
    of_use = getattr(error, "format_message", None)
    if of_use is not None:
        return str(of_use())
    if lacks_memory(error):
        return "there is not enough memory; choose fewer --processes or --samples"
    if isinstance(error, OSError):
        return f"a file cannot be used: {reason_of(error)}; check it and the folder of the results"
    return f"unexpected: {type(error).__name__}: {error}"


def _text(stream: io.TextIOWrapper) -> str:
    stream.flush()
    buffer = stream.buffer
    assert isinstance(buffer, io.BytesIO)
    return buffer.getvalue().decode(sys.getfilesystemencoding(), "surrogateescape")
