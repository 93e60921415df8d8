"""dask's scheduler: its address, and what both who use it share."""

from __future__ import annotations

import re
import socket
import threading
from importlib import import_module
from typing import Any

from napari_brgm.errors import InputError
from napari_brgm.reason import reason_of
from napari_brgm.text import plain_text

__all__ = ["CONNECT_SECONDS", "ONE_AT_A_TIME", "checked_address", "dask_distributed", "knock", "no_scheduler"]

CONNECT_SECONDS = 10.0
ONE_AT_A_TIME = threading.Lock()  # a worker restores one thing at a time, whatever its threads
_KNOCK_SECONDS = 2.0
_HOST_AND_PORT = re.compile(r"(?:(?:tcp|tls|wss?)://)?\[?([^\]/]+?)\]?:(\d{1,5})")
_ADDRESS = re.compile(r"(tcp|tls|ws|wss)://(\[[0-9a-fA-F:.]+\]|[A-Za-z0-9._-]+):\d{1,5}")


def checked_address(text: str) -> str:
    """Give an address back if a scheduler can have it.

    Raises
    ------
    InputError

    Examples
    --------
    >>> checked_address(" tcp://head:8786 ")
    'tcp://head:8786'
    """
    found = text.strip()
    if not _ADDRESS.fullmatch(found):
        raise InputError(f"{plain_text(found)!r} is no address of a dask scheduler; give one such as tcp://head:8786")
    return found


def dask_distributed() -> Any:
    """The module.

    Raises
    ------
    InputError
        It is not installed.
    """
    try:
        return import_module("distributed")
    except ImportError as error:
        raise InputError(
            "a scheduler is spoken to by dask, which is not installed; pip install 'napari-brgm[cluster]'"
        ) from error


def knock(address: str) -> None:
    """Return if something listens at an address. Where nothing does, dask would go on asking for all of its time.

    Raises
    ------
    OSError
    """
    if found := _HOST_AND_PORT.fullmatch(address.strip()):
        socket.create_connection((found[1], int(found[2])), _KNOCK_SECONDS).close()


def no_scheduler(address: str, error: BaseException) -> str:
    """The sentence where none answers."""
    return f"there is no scheduler at {plain_text(address)}: {reason_of(error)}; start one"
