"""Inflated: a compressed file read as if it were not, no further than it is asked for and never without a limit.

A few kilobytes can inflate to gigabytes. Headers ask for as much as they need; pixels for what the header says that
they take, which is held against the length of the file first (``dicom_claims``).

Source: RFC 1950 to 1952 (deflate inflates to at most 1032 times its length); DICOM PS3.5 A.5 (deflated data sets).
"""

from __future__ import annotations

import zlib
from typing import TYPE_CHECKING, Protocol

from napari_brgm.errors import ScanError

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["HEADER_LIMIT", "RAW_DEFLATE", "Inflated"]

HEADER_LIMIT = 64 << 20  # bytes; functional groups of ten thousand frames take a few million
RAW_DEFLATE = -zlib.MAX_WBITS
_GZIP = 16 + zlib.MAX_WBITS
_MAGIC = b"\x1f\x8b"
_PIECE = 1 << 16
_MOST_READS = 1_500_000  # some for each element, sixty elements for each frame; zeros are millions of empty ones


class Readable(Protocol):
    """What is read here: files, and what they inflate to."""

    def read(self, size: int = ..., /) -> bytes: ...


class Inflated:
    """What ``read``, ``seek`` and ``tell`` see of a compressed stream; the part read so far is kept.

    Parameters
    ----------
    path : Path
        For the error.
    stream : binary file or Inflated
        At its first compressed byte.
    limit : int
        Bytes that it may inflate to.
    bits : int
        Kind of stream, as zlib counts it: gzip, or ``RAW_DEFLATE``.
    """

    def __init__(self, path: Path, stream: Readable, limit: int, bits: int = _GZIP) -> None:
        self.name = str(path)
        self._file, self._stream, self._limit, self._bits = path.name, stream, limit, bits
        self._machine = zlib.decompressobj(bits)
        self._buffer = bytearray()
        self._place, self._waiting = 0, b""
        self._ended = False
        self._reads = 0

    def read(self, size: int = -1) -> bytes:
        """Read as many bytes, fewer at the end.

        Raises
        ------
        ScanError
            The limit is passed, or it is asked far more often than a header has elements.
        zlib.error, OSError
            The stream is damaged, or cut short.
        """
        self._reads += 1
        if self._reads > _MOST_READS:
            raise ScanError(f"{self._file} inflates to more elements than any image has; export it uncompressed")
        wanted = self._limit + 1 if size < 0 else self._place + size
        while len(self._buffer) < wanted and not self._ended:
            there = len(self._buffer)  # somewhat ahead, as most reads are of some bytes
            self._inflate(max(min(wanted, self._limit + 1) - there, min(_PIECE, self._limit - there)))
            if len(self._buffer) > self._limit:
                raise ScanError(
                    f"{self._file} inflates to more than its header can need ({self._limit / 2**20:.0f} MB), "
                    "as harmless files do not; export it uncompressed"
                )
        content = bytes(self._buffer[self._place : max(wanted, 0)])
        self._place += len(content)
        return content

    def seek(self, offset: int, whence: int = 0) -> int:
        """Go to an offset from the start (0) or from here (1)."""
        self._place = max(offset + (self._place if whence == 1 else 0), 0)
        return self._place

    def tell(self) -> int:
        return self._place

    def check_rest(self) -> None:
        """Inflate what is left, up to the limit, and throw it away: at its end gzip compares a checksum."""
        while not self._ended:
            del self._buffer[:]
            self._limit -= _PIECE
            self._inflate(_PIECE)
            if self._limit < 0:
                raise ScanError(f"{self._file} inflates to far more than its image; export it uncompressed")

    def _inflate(self, most: int) -> None:
        """Add about as many bytes to the buffer, at least one."""
        source = self._machine.unconsumed_tail or self._waiting or self._stream.read(_PIECE)
        self._waiting = b""
        found = self._machine.decompress(source, max(most, 1))  # of b"": what is still to come of bytes read before
        self._buffer += found
        if self._machine.eof:
            rest = (self._machine.unused_data or self._stream.read(_PIECE)).lstrip(b"\0")  # gzip may be padded
            self._ended = self._bits != _GZIP or rest[:2] != _MAGIC
            if not self._ended:  # a further member
                self._machine, self._waiting = zlib.decompressobj(self._bits), rest
        elif not source and not found:
            raise OSError("the compressed stream ends early")  # pydicom takes an EOFError for the end of the file
