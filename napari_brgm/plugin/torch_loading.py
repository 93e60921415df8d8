"""torch, loaded in a thread while the window stays usable: it takes seconds, most of them in the dynamic linker.

Python holds its lock while it links an extension, and nothing of the window moves. The large libraries are therefore
linked first, by a call of C for which the lock is let go.
"""

from __future__ import annotations

import ctypes
import importlib.util
import os
import sys
import threading
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from qtpy.QtCore import QTimer

if TYPE_CHECKING:
    from collections.abc import Callable

    from qtpy.QtCore import QObject

__all__ = ["is_loaded", "load_torch", "load_triton_apart"]

_LOOK_MS = 100
_LIBRARIES = "libtorch_global_deps.so", "libc10.so", "libtorch_cpu.so", "libtorch_cuda.so", "libtorch_python.so"
_THREAD = "loading torch"


def is_loaded() -> bool:
    """Whether torch is there, whole."""
    module = sys.modules.get("torch")
    return module is not None and not getattr(module.__spec__, "_initializing", False)


def load_torch(owner: QObject, then: Callable[[], None]) -> None:
    """Call ``then`` in the main thread once torch is there, or where it cannot be loaded; at once where it is.

    Parameters
    ----------
    owner : QObject
        Once it is gone nothing is called.
    then : callable
        Finds out itself where torch could not be loaded, by using it.
    """
    if is_loaded():
        then()
        return
    thread = next((one for one in threading.enumerate() if one.name == _THREAD), None)
    if thread is None:
        thread = threading.Thread(target=_load, name=_THREAD, daemon=True)
        thread.start()
    loading, timer = thread, QTimer(owner)

    def look() -> None:
        if not loading.is_alive():
            timer.stop()
            timer.deleteLater()
            then()

    timer.setInterval(_LOOK_MS)
    timer.timeout.connect(look)
    timer.start()


def load_triton_apart() -> None:
    """Keep triton's LLVM from that of the OpenGL driver.

    torch's optimisers import triton, whose library exports its own LLVM. With Mesa's libLLVM in the process, as in any
    napari window that Mesa draws, its symbols would bind to that other version and the process would crash.
    """
    if "triton" in sys.modules or not hasattr(os, "RTLD_DEEPBIND"):
        return
    flags = sys.getdlopenflags()
    sys.setdlopenflags(flags | os.RTLD_DEEPBIND)
    try:
        with suppress(ImportError):  # torch does without
            import triton  # noqa: F401
    finally:
        sys.setdlopenflags(flags)


def _load() -> None:
    """What a run needs, too: else the first one would load it."""
    _link()
    load_triton_apart()
    with suppress(ImportError, OSError):  # who uses it says so
        import torch

        import napari_brgm.engine.run
        import napari_brgm.zoo.registry  # noqa: F401

        torch.cuda.is_available()  # asks the driver, once


def _link() -> None:
    """Link torch's libraries without Python's lock; what cannot be found is left to the import."""
    if not sys.platform.startswith("linux"):
        return
    with suppress(ImportError, AttributeError, OSError, ValueError):
        spec = importlib.util.find_spec("torch")
        if spec is None or spec.origin is None:
            return
        dlopen = ctypes.CDLL(None).dlopen
        dlopen.argtypes, dlopen.restype = (ctypes.c_char_p, ctypes.c_int), ctypes.c_void_p
        for name in _LIBRARIES:
            path = Path(spec.origin).parent / "lib" / name
            if path.is_file():
                scope = os.RTLD_GLOBAL if "global" in name else os.RTLD_LOCAL
                dlopen(os.fsencode(path), os.RTLD_NOW | scope)
