"""Published files that the tests make themselves, hostile ones, and a trap for code that runs."""

from __future__ import annotations

import importlib.util
import os
import sys
from contextlib import contextmanager
from pathlib import Path

import pytest

_watching = False
_seen: list[str] = []
_CODE = (
    "os.system", "os.exec", "os.fork", "os.forkpty", "os.posix_spawn", "os.spawn", "os.startfile", "subprocess.Popen",
    "exec", "compile", "import", "pickle.find_class", "marshal.loads", "ctypes.dlopen", "socket.__new__", "os.remove",
    "os.rename", "os.mkdir",
)  # fmt: skip


def _watch(event: str, args: tuple) -> None:
    if _watching and (event in _CODE or (event == "open" and isinstance(args[2], int) and args[2] & os.O_ACCMODE)):
        _seen.append(f"{event} {args!r:.80}")


def _module(name: str):
    spec = importlib.util.spec_from_file_location(f"zoo_{name}", Path(__file__).with_name(f"{name}.py"))
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="session")
def published():
    """Builders of published layouts (published.py beside this file)."""
    return _module("published")


@pytest.fixture(scope="session")
def hostile():
    """Hostile files (hostile.py beside this file)."""
    return _module("hostile")


@pytest.fixture(scope="session")
def mutations():
    """Mutator of files (mutations.py beside this file)."""
    return _module("mutations")


@pytest.fixture(scope="session")
def nothing_runs(published, tmp_path_factory):
    """``with nothing_runs():`` fails if anything in it imports, executes, starts or writes."""
    from napari_brgm.zoo.published_file import read_published

    folder = tmp_path_factory.mktemp("warm")  # what torch imports on first use is no concern of the trap
    weights = published.random_weights(4)
    for make in (published.pytorch_pickle, published.tensorflow_pickle, published.rosinality_pt):
        (folder / "file").write_bytes(make(weights))
        read_published(folder / "file")
    b"name".decode("cp437")  # of zip entries
    sys.addaudithook(_watch)

    @contextmanager
    def watched():
        global _watching
        _seen.clear()
        _watching = True
        try:
            yield
        finally:
            _watching = False
        assert not _seen, f"something ran: {_seen[:3]}"

    return watched
