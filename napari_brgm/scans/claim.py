"""Results moved to their places: claimed exclusively, and taken back where one of them cannot be.

Between the look whether a name is free and the moment when its file is there, a whole run passes; another process may
write the same name meanwhile. So the place is claimed by the very step that fills it: a hard link or a rename of a
folder fails where something is, and a rename of a file would not. Runs that end at the same time take turns.
"""

from __future__ import annotations

import errno
import os
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING
from uuid import uuid4

from napari_brgm.scans.staging import PRIVATE_FILE, PRIVATE_FOLDER

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

__all__ = ["Claim", "one_at_a_time"]

_THERE = (errno.EEXIST, errno.ENOTEMPTY, errno.ENOTDIR, errno.EISDIR)


class Claim:
    """Moves files and folders from a hidden folder to their places; nothing is lost until the hidden one goes.

    Parameters
    ----------
    hidden : Path
        Of the new files; what they replace goes there.
    overwrite : bool
        Whether they may replace anything.
    """

    def __init__(self, hidden: Path, overwrite: bool) -> None:
        self._hidden, self._overwrite = hidden, overwrite
        self._undo: list[Callable[[], object]] = []

    def put(self, file: Path, place: Path) -> None:
        """Move a file or folder to its place, readable for its owner alone.

        Raises
        ------
        FileExistsError
            Something is there, and nothing may be replaced.
        OSError
            It cannot be moved.
        """
        _make_private(file)
        if self._overwrite:
            self.take_away(place)
        try:
            (_move_folder if file.is_dir() else _move_file)(file, place)
        except OSError as error:
            if error.errno in _THERE and os.path.lexists(place):
                raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), str(place)) from error
            raise
        self._undo.append(lambda: place.replace(self._hidden / uuid4().hex))

    def take_away(self, place: Path) -> None:
        """Move what is there into the hidden folder; nothing where nothing is."""
        aside = self._hidden / uuid4().hex
        try:
            place.replace(aside)
        except FileNotFoundError:
            return
        self._undo.append(lambda: aside.replace(place))

    def take_back(self) -> None:
        """Undo all moves, the last first."""
        while self._undo:
            with suppress(OSError):
                self._undo.pop()()


@contextmanager
def one_at_a_time(folder: Path) -> Iterator[None]:
    """Hold a folder while files are moved into it, so that the sets of two runs never mix; no-op where it cannot be."""
    held = None
    with suppress(ImportError, OSError):
        import fcntl  # not on Windows

        held = os.open(folder, os.O_RDONLY)
        fcntl.flock(held, fcntl.LOCK_EX)
    try:
        yield
    finally:
        if held is not None:
            os.close(held)  # and with it the lock


def _move_file(file: Path, place: Path) -> None:
    try:
        os.link(file, place, follow_symlinks=False)
    except FileExistsError:
        raise
    except (OSError, NotImplementedError):  # a file system without links (memory cards, some shares)
        os.close(os.open(place, os.O_CREAT | os.O_EXCL | os.O_WRONLY, PRIVATE_FILE))
        try:
            file.replace(place)
        except OSError:
            place.unlink()
            raise


def _move_folder(folder: Path, place: Path) -> None:
    if place.is_symlink() or place.is_file():
        raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), str(place))
    folder.rename(place)  # fails where one with files is


def _make_private(path: Path) -> None:
    if not path.is_dir():
        path.chmod(PRIVATE_FILE)
        return
    for folder, _, files in os.walk(path):
        os.chmod(folder, PRIVATE_FOLDER)
        for name in files:
            os.chmod(os.path.join(folder, name), PRIVATE_FILE)
