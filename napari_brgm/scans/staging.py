"""Hidden folders in which results wait until they are complete, and the removal of those that nobody owns any more.

    <folder>/.brgm-<random>/owner     locked as long as the process that writes here lives, however it ends

A process that is killed outright (kill -9, a failing power supply) cannot clean up, and what it leaves shows patients:
the next one that writes into the same folder does. The lock tells it that the owner is gone, on another host or in
another container as well; an age or a process number would not. Where the file system knows no locks, nothing is
removed.
"""

from __future__ import annotations

import shutil
from contextlib import suppress
from typing import TYPE_CHECKING
from uuid import uuid4

from filelock import FileLock, Timeout

if TYPE_CHECKING:
    from pathlib import Path
    from typing import Self

__all__ = ["PRIVATE_FILE", "PRIVATE_FOLDER", "Staging", "private_folder", "remove_stale"]

PRIVATE_FILE, PRIVATE_FOLDER = 0o600, 0o700  # modes: results show patients, and are for who computed them
_PREFIX, _OWNER = ".brgm-", "owner"
_TRIES = 5


def private_folder(path: Path) -> None:
    """Make a folder that only its owner can look into, whatever the umask; OSError."""
    path.mkdir(PRIVATE_FOLDER)
    path.chmod(PRIVATE_FOLDER)  # a umask may have taken the owner's rights as well


class Staging:
    """A hidden folder that this process owns.

    Attributes
    ----------
    path : Path
    """

    def __init__(self, path: Path, lock: FileLock | None) -> None:
        self.path, self._lock = path, lock

    @classmethod
    def made_in(cls, folder: Path) -> Self:
        """Make one; OSError."""
        for _ in range(_TRIES):
            path = folder / _name()
            try:
                private_folder(path)
            except FileNotFoundError:
                if folder.is_dir():  # another process took it for one that is left over
                    continue
                raise
            try:
                lock = _locked(path)
            except NotImplementedError:  # no locks on this file system
                return cls(path, None)
            if lock is not None and path.is_dir():
                return cls(path, lock)
            _release(lock)  # likewise, before it was locked
        raise FileExistsError(f"no hidden folder can be kept in {folder.name}")

    def remove(self) -> None:
        """Remove it with whatever it holds."""
        _release(self._lock)
        shutil.rmtree(self.path, ignore_errors=True)


def remove_stale(folder: Path) -> None:
    """Remove the hidden folders here whose owners are gone."""
    try:
        found = [path for path in folder.glob(f"{_PREFIX}*") if path.is_dir() and not path.is_symlink()]
    except OSError:  # there is none yet, or it is not ours to look into
        return
    for path in found:
        with suppress(OSError, NotImplementedError):
            lock = _locked(path)
            if lock is None:
                continue
            try:  # away in one step: who has made it, and has not locked it yet, finds nothing there and makes another
                left = path.rename(path.with_name(_name()))
            except OSError:
                left = path
            shutil.rmtree(left, ignore_errors=True)
            _release(lock)


def _name() -> str:
    return f"{_PREFIX}{uuid4().hex[:12]}"


def _locked(path: Path) -> FileLock | None:
    """Lock a hidden folder; None: somebody else has. NotImplementedError: nobody can."""
    lock = FileLock(path / _OWNER, timeout=0, mode=PRIVATE_FILE, thread_local=False)
    try:
        lock.acquire()
    except (Timeout, FileNotFoundError):
        return None
    except OSError as error:
        raise NotImplementedError from error
    return lock


def _release(lock: FileLock | None) -> None:
    if lock is not None:
        with suppress(OSError):
            lock.release()
