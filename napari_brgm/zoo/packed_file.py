"""Files that were packed once more for the way: gzip, bzip2, xz, or a zip around one file; unpacked in memory.

Nothing is believed of how large they become: they are unpacked piece by piece up to a small multiple of their size.
"""

from __future__ import annotations

import bz2
import gzip
import lzma
import zlib
from typing import TYPE_CHECKING, Any, Final

from napari_brgm.errors import WeightsError
from napari_brgm.reason import reason_of
from napari_brgm.zoo.zip_entries import MOST_EXPANSION, MemoryFile, ZipEntries, most_unpacked

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["only_file", "unpacked"]

_PIECE: Final = 1 << 20  # bytes
_MOST_OF_XZ: Final = 256 << 20  # bytes that unpacking may take beside its result; the strongest setting takes 65 MB
_SUFFIXES: Final = (".pkl", ".pickle", ".pt", ".pth", ".ckpt", ".bin")
_STREAMS: Final[dict[bytes, Callable[[], Any]]] = {
    b"BZh": bz2.BZ2Decompressor,
    b"\xfd7zXZ\x00": lambda: lzma.LZMADecompressor(lzma.FORMAT_XZ, _MOST_OF_XZ),
}
_GZIP: Final = b"\x1f\x8b"


def unpacked(data: bytearray) -> bytearray:
    """What is in a gzip, bzip2 or xz file; any other file as it is.

    Raises
    ------
    WeightsError
        It is damaged, or unpacks to more than weights can.
    """
    most = most_unpacked(len(data))
    try:
        if data.startswith(_GZIP):
            return _gunzipped(data, most)
        for start, make in _STREAMS.items():
            if data.startswith(start):
                return _through(make, data, most)
    except (OSError, EOFError, ValueError, lzma.LZMAError, zlib.error) as error:
        raise WeightsError(
            f"the packed file cannot be unpacked: {reason_of(error)}; get it again, or unpack it by hand"
        ) from error
    return data


def _gunzipped(data: bytearray, most: int) -> bytearray:
    out = bytearray()
    with gzip.GzipFile(fileobj=MemoryFile(memoryview(data)), mode="rb") as file:  # type: ignore[call-overload]
        while piece := file.read(_PIECE):
            _check(len(out) + len(piece), most)
            out += piece
    return out


def _through(make: Callable[[], Any], data: bytearray, most: int) -> bytearray:
    """All streams in ``data``, one after the other, unpacked by what ``make`` makes."""
    out, at = bytearray(), 0
    view = memoryview(data)
    while at < len(view) and any(view[at : at + _PIECE]):  # zeros may pad the end
        unpacker = make()
        while not unpacker.eof:
            piece = view[at : at + _PIECE] if unpacker.needs_input else b""
            if unpacker.needs_input and not piece:
                raise EOFError
            at += len(piece)
            out += unpacker.decompress(piece, _PIECE)
            _check(len(out), most)
        at -= len(unpacker.unused_data)
    return out


def _check(size: int, most: int) -> None:
    if size > most:
        raise WeightsError(
            f"the packed file unpacks to more than {MOST_EXPANSION} times its size, or more than any generator; "
            "it was refused"
        )


def only_file(entries: ZipEntries) -> bytearray:
    """The weights file in a zip that is no torch archive.

    Raises
    ------
    WeightsError
        There is none, or more than one.
    """
    likely = [entry for entry in entries.listed if entry.filename.lower().endswith(_SUFFIXES)]
    found = likely or entries.listed
    if len(found) != 1:
        raise WeightsError(
            f"the zip has no data.pkl, so is no torch archive, and {len(likely) or 'no'} weights files where one can "
            "be read; unpack it and import the one you mean"
        )
    return bytearray(entries.content(found[0]))
