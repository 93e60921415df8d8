"""Planes of maps, made in a thread and handed over in the main one: the window never waits for them.

There is one thread for all maps. It makes what is wanted first, and ends when nothing is wanted any more.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from qtpy.QtCore import QObject, QTimer

from napari_brgm.plugin.background import BackgroundTask

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    import numpy.typing as npt

    from napari_brgm.plugin.layers.outcome import RestoredPlane

    Compute = Callable[[RestoredPlane], npt.NDArray[Any]]
    Deliver = Callable[[RestoredPlane, npt.NDArray[Any]], None]

__all__ = ["MapMaker"]

_LOOK_MS = 15  # between looks at what has been made
_SECONDS = 0.01  # spent at a look on handing planes over
_AHEAD = 64  # planes that may be made and not yet handed over
_NAP = 0.005  # seconds for which the thread waits then


@dataclass(slots=True, eq=False)
class _Wanted:
    """What one map is to become."""

    left: list[RestoredPlane]
    compute: Compute
    deliver: Deliver
    under_way: int = 0  # planes taken by the thread, not yet handed over


class MapMaker(QObject):
    """Makes the planes of maps.

    Parameters
    ----------
    parent : QObject
        With which it goes.
    after : callable
        Called in the main thread after some planes were handed over.
    failed : callable
        Called in the main thread with the error that ended the making of a map.
    """

    def __init__(self, parent: QObject, after: Callable[[], None], failed: Callable[[Exception], None]) -> None:
        super().__init__(parent)
        self._after, self._failed = after, failed
        self._lock = threading.Lock()
        self._wanted: dict[object, _Wanted] = {}
        self._made: deque[tuple[object, _Wanted, RestoredPlane, Any]] = deque()
        self._task: BackgroundTask | None = None
        self._working = False  # the thread has not found out yet that nothing is left
        self._timer = QTimer(self)
        self._timer.setInterval(_LOOK_MS)
        self._timer.timeout.connect(self._hand_over)

    def want(self, key: object, planes: Iterable[RestoredPlane], compute: Compute, deliver: Deliver) -> None:
        """Have planes made in this order, in place of what was wanted of this map before.

        ``compute`` is called in the thread, ``deliver`` in the main one.
        """
        with self._lock:
            self._wanted[key] = _Wanted(list(planes), compute, deliver)
            start, self._working = not self._working, True
        if start:
            self._task = BackgroundTask(self._work, "the map", {}, with_torch=False)
        self._timer.start()

    def sort(self, key: object, nearness: Callable[[RestoredPlane], float]) -> None:
        """Put what is left of a map in another order, the nearest first."""
        with self._lock:
            wanted = self._wanted.get(key)
            if wanted is not None:
                wanted.left.sort(key=nearness)

    def forget(self, key: object) -> None:
        """Want nothing more of a map."""
        with self._lock:
            self._wanted.pop(key, None)

    def makes(self, key: object) -> bool:
        """Whether planes of a map are left to be made or handed over."""
        with self._lock:
            return key in self._wanted

    def stop(self) -> None:
        """End; nothing is handed over any more."""
        self._timer.stop()
        with self._lock:
            self._wanted.clear()
            self._working = False
        self._made.clear()
        if self._task is not None:
            self._task.cancel()
        self._task = None

    # in the thread

    def _work(self, tell: Callable[..., None]) -> None:
        while True:
            tell()
            if len(self._made) > _AHEAD:
                time.sleep(_NAP)
                continue
            with self._lock:
                found = self._next()
                if found is None:
                    self._working = False
                    return
            key, wanted, plane = found
            try:
                made: Any = wanted.compute(plane)
            except Exception as error:  # of any kind: told in the main thread, and the other maps go on
                made = error
            self._made.append((key, wanted, plane, made))

    def _next(self) -> tuple[object, _Wanted, RestoredPlane] | None:
        """The plane to make next: the first ones of all maps before their others."""
        waiting = [(key, wanted) for key, wanted in self._wanted.items() if wanted.left]
        if not waiting:
            return None
        key, wanted = max(waiting, key=lambda pair: len(pair[1].left))
        wanted.under_way += 1
        return key, wanted, wanted.left.pop(0)

    # in the main thread

    def _hand_over(self) -> None:
        end, some = time.monotonic() + _SECONDS, False
        while self._made and time.monotonic() < end:
            key, wanted, plane, made = self._made.popleft()
            with self._lock:
                if self._wanted.get(key) is not wanted:
                    continue  # something else is wanted by now
                wanted.under_way -= 1
                if isinstance(made, Exception) or not (wanted.left or wanted.under_way):
                    del self._wanted[key]
            if isinstance(made, Exception):
                self._failed(made)
            else:
                wanted.deliver(plane, made)
                some = True
        if some:
            self._after()
        if not self._wanted and not self._made:
            self._timer.stop()
