"""Why a file could not be read or written: the system's own reason, and what to do about it."""

from __future__ import annotations

import errno

from napari_brgm.text import shortened

__all__ = ["advice_of", "lacks_memory", "reason_of"]

_ADVICE = {
    errno.ENOSPC: "free some space, or choose another disk",
    errno.EDQUOT: "free some of your quota, or choose another disk",
    errno.ENAMETOOLONG: "choose a shorter name",
    errno.EMFILE: "close other programs, or raise the limit of open files",
    errno.ENFILE: "close other programs, or raise the limit of open files",
}

_NO_MEMORY = ("not enough memory", "can't allocate memory", "alloc_cpu")  # torch on the CPU, by version and system


def reason_of(error: BaseException) -> str:
    """The system's words, such as 'No space left on device'; of other errors their own, on one line.

    Of paths it says nothing: they may be those of hidden folders.

    Examples
    --------
    >>> reason_of(OSError(28, "No space left on device", "/tmp/.hidden/x"))
    'No space left on device'
    """
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    if isinstance(error, KeyError) and error.args:
        return f"it has no '{shortened(error.args[0], 60)}'"
    if isinstance(error, EOFError) and not str(error):
        return "it ends too early"
    return shortened(error, 200) or type(error).__name__


def lacks_memory(error: BaseException) -> bool:
    """Whether memory could not be had: Python's own error, a GPU's, or one of the plain errors torch has for it.

    Examples
    --------
    >>> lacks_memory(RuntimeError("[enforce fail at alloc_cpu.cpp:127] DefaultCPUAllocator: can't allocate memory"))
    True
    """
    if isinstance(error, MemoryError) or type(error).__name__ == "OutOfMemoryError":
        return True
    return isinstance(error, RuntimeError) and any(words in str(error) for words in _NO_MEMORY)


def advice_of(error: OSError, otherwise: str) -> str:
    """What a person can do about it, where the reason tells; else ``otherwise``.

    Examples
    --------
    >>> advice_of(OSError(36, "File name too long"), "choose another folder")
    'choose a shorter name'
    """
    return _ADVICE.get(error.errno or 0, otherwise)
