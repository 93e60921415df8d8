"""How long the main thread is held up: what a person feels as a window that stands still."""

from __future__ import annotations

import sys
import threading
import time
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from qtpy.QtCore import Qt, QTimer

if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import FrameType

__all__ = ["Blocks", "main_thread_blocks"]

_TICK_MS = 5
_LOOK = 0.01  # seconds between looks at a main thread that does not tick
_LONG = 0.03  # seconds from which on it is asked what the thread does


@dataclass
class Blocks:
    """What was measured while a block of ``with`` ran.

    Attributes
    ----------
    longest : float
        Longest time between two turns of Qt's event loop, seconds.
    where : str
        What the main thread was doing in it: the innermost function of ours that was called, and the innermost at all.
    cpu : float
        Seconds of it in which the main thread computed; the rest it waited, as for other processes of a busy machine.
    gaps : list of float
        All times of more than 0.03 s, in order.
    """

    longest: float = 0.0
    cpu: float = 0.0
    where: str = ""
    gaps: list[float] = field(default_factory=list)


@contextmanager
def main_thread_blocks(what: str = "") -> Iterator[Blocks]:
    """Measure the longest time for which the main thread does not turn to its events, and print it.

    Call it in the main thread, do in it what a person does, and wait in it (``qtbot.waitUntil``) for what comes of it.

    Examples
    --------
    >>> def test_moving_the_threshold(widget, qtbot):
    ...     with main_thread_blocks("threshold moved") as blocks:
    ...         widget.threshold.setValue(612)
    ...         qtbot.waitUntil(lambda: not widget.busy)
    ...     assert blocks.longest < 0.4
    """
    blocks, main = Blocks(), threading.get_ident()
    last, busy, seen, ended = time.perf_counter(), time.thread_time(), "", threading.Event()

    def tick() -> None:
        nonlocal last, busy, seen
        now, computed = time.perf_counter(), time.thread_time()
        gap, cpu, last, busy = now - last, computed - busy, now, computed
        if gap > _LONG:
            blocks.gaps.append(gap)
        if gap > blocks.longest:
            blocks.longest, blocks.cpu, blocks.where = gap, cpu, seen
        seen = ""

    def watch() -> None:
        nonlocal seen
        while not ended.wait(_LOOK):
            if time.perf_counter() - last > _LONG:
                seen = _doing(sys._current_frames().get(main)) or seen

    timer, watcher = QTimer(), threading.Thread(target=watch, daemon=True)
    timer.setTimerType(Qt.TimerType.PreciseTimer)
    timer.setInterval(_TICK_MS)
    timer.timeout.connect(tick)
    timer.start()
    watcher.start()
    try:
        yield blocks
    finally:
        tick()
        timer.stop()
        ended.set()
        watcher.join()
        wall, cpu = 1000 * blocks.longest, 1000 * blocks.cpu
        print(
            f"main thread held up for {wall:4.0f} ms ({cpu:4.0f} of CPU): {what or 'in all'}  [{blocks.where or '-'}]"
        )


def _doing(frame: FrameType | None) -> str:
    innermost, ours = frame, None
    while frame is not None and ours is None:
        ours = frame if "napari_brgm" in frame.f_globals.get("__name__", "") else None
        frame = frame.f_back
    return " < ".join(
        f"{one.f_globals.get('__name__', '?')}.{one.f_code.co_name}:{one.f_lineno}" for one in (innermost, ours) if one
    )
