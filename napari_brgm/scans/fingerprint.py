"""Fingerprints of inputs: what a result was made of, byte for byte, whatever the files are called."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

from napari_brgm.errors import ScanError
from napari_brgm.reason import reason_of
from napari_brgm.text import plain_text

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["files_below", "sha256_of", "stamp_of"]

_AT_ONCE = 1 << 20


def files_below(path: Path) -> list[Path]:
    """The file itself, or the files of a folder and those in it, sorted; hidden ones are none of the scan's."""
    if not path.is_dir():
        return [path]
    return sorted(file for file in path.rglob("*") if file.is_file() and not file.name.startswith("."))


def sha256_of(path: Path) -> str:
    """SHA-256 of a file, or of a folder: that of the sorted digests of its files, so that names do not count.

    Raises
    ------
    ScanError
        A file cannot be read.
    """
    try:
        digests = sorted(_digest(file) for file in files_below(path))
    except OSError as error:
        raise ScanError(f"{plain_text(path.name)} cannot be read: {reason_of(error)}; check the file") from error
    return digests[0].hex() if not path.is_dir() else hashlib.sha256(b"".join(digests)).hexdigest()


def stamp_of(path: Path) -> list[list[int]]:
    """Sizes and times of change of the files, ns: where these stay, so do the bytes; empty: there is no such file."""
    found = []
    for file in files_below(path):
        try:
            about = file.stat()
        except OSError:
            return []
        found.append([about.st_size, about.st_mtime_ns])
    return found


def _digest(file: Path) -> bytes:
    digest = hashlib.sha256()
    with file.open("rb") as stream:
        while block := stream.read(_AT_ONCE):
            digest.update(block)
    return digest.digest()
