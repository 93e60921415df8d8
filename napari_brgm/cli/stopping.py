"""SIGTERM (scancel, docker stop, timeout, log-out), SIGHUP (a closed terminal) and SIGXCPU stop a run as Ctrl-C does.

What was begun is cleaned up: no hidden folder with images of a patient stays behind. A second signal no longer
interrupts the cleaning.
"""

from __future__ import annotations

import signal
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from types import FrameType

__all__ = ["Stopped", "stop_on_signals"]

_SIGNALS = ("SIGTERM", "SIGHUP", "SIGXCPU", "SIGBREAK")  # the last is that of Windows


class Stopped(KeyboardInterrupt):
    """The system asked this process to end.

    Attributes
    ----------
    code : int
        With which it ends: 128 + the signal's number, as shells count.
    """

    def __init__(self, number: int) -> None:
        super().__init__(signal.Signals(number).name)
        self.code = 128 + number


def stop_on_signals() -> None:
    """Raise ``Stopped`` in the main thread when one comes; one that is ignored, as under nohup, stays so."""
    for name in _SIGNALS:
        number: Any = getattr(signal, name, None)
        if number is not None and signal.getsignal(number) is signal.SIG_DFL:
            signal.signal(number, _stop)


def _stop(number: int, frame: FrameType | None) -> None:
    for name in _SIGNALS:
        other: Any = getattr(signal, name, None)
        if other is not None and signal.getsignal(other) is _stop:
            signal.signal(other, signal.SIG_IGN)
    raise Stopped(number)
