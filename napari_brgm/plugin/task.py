"""One long verb of a widget in a thread: heard of by looking at it, and stopped by its next report."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any

from napari.qt.threading import create_worker

from napari_brgm.errors import Cancelled
from napari_brgm.plugin.worker import load_triton_apart

if TYPE_CHECKING:
    from collections.abc import Callable

    from superqt.utils import FunctionWorker

__all__ = ["Task"]


class Task:
    """A function that runs in a thread of napari's and reports by calling what it is given.

    Parameters
    ----------
    work : callable
        Called with ``tell(what, done, total or None)`` in the thread.
    connect : dict
        Signal names ('returned', 'errored', 'finished') to slots of the main thread.

    Attributes
    ----------
    state : (str, int, int or None)
        The last report. A timer of the widget reads it: a signal for each chunk of a download would flood the window.
    """

    def __init__(self, work: Callable[[Callable[[str, int, int | None], None]], Any], connect: dict[str, Any]) -> None:
        self.state: tuple[str, int, int | None] = ("", 0, None)
        self._stop = threading.Event()
        self._worker: FunctionWorker = create_worker(
            self._run, work, _connect=connect, _start_thread=True, _ignore_errors=True
        )

    @property
    def cancelled(self) -> bool:
        """Whether the person has stopped it."""
        return self._stop.is_set()

    def cancel(self) -> None:
        """End the work at its next report; 'errored' is emitted with ``Cancelled``."""
        self._stop.set()

    def _run(self, work: Callable[[Callable[[str, int, int | None], None]], Any]) -> Any:
        load_triton_apart()  # loading a prior imports it
        return work(self._tell)

    def _tell(self, what: str, done: int, total: int | None) -> None:
        if self._stop.is_set():
            raise Cancelled("cancelled")
        self.state = (what, done, total)
