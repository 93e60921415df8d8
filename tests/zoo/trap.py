"""Sees what Python does on the quiet: an audit hook, which cannot be taken off again, so it is switched."""

from __future__ import annotations

import os
import sys
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

_CODE = (
    "os.system", "os.exec", "os.fork", "os.forkpty", "os.posix_spawn", "os.spawn", "os.startfile", "subprocess.Popen",
    "exec", "compile", "import", "pickle.find_class", "marshal.loads", "ctypes.dlopen", "socket.__new__", "os.remove",
    "os.rename", "os.mkdir",
)  # fmt: skip
_state: dict[str, bool] = {"on": False}
_seen: list[str] = []


def _watch(event: str, args: tuple) -> None:
    writes = event == "open" and isinstance(args[2], int) and args[2] & os.O_ACCMODE
    if _state["on"] and (event in _CODE or writes):
        _seen.append(f"{event} {args!r:.80}")


sys.addaudithook(_watch)


@contextmanager
def watched() -> Iterator[None]:
    """Fail if anything runs, is imported or is written meanwhile."""
    _seen.clear()
    _state["on"] = True
    try:
        yield
    finally:
        _state["on"] = False
    assert not _seen, f"something ran: {_seen[:3]}"
