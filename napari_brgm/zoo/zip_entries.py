"""Entries of a zip in memory: listed without trust in any number, read one by one, bounded where compressed."""

from __future__ import annotations

import io
import struct
import zipfile
import zlib
from typing import Any, Final

from napari_brgm.errors import WeightsError
from napari_brgm.reason import reason_of

__all__ = ["LARGEST", "MOST_EXPANSION", "MemoryFile", "ZipEntries", "most_unpacked"]

LARGEST: Final = 4 << 30  # bytes; files are held in memory
MOST_EXPANSION: Final = 8  # times; weights are noise to a packer and shrink to a half at best
_SPARE: Final = 1 << 20  # bytes that anything may unpack to
_MOST_ENTRIES: Final = 20_000  # a checkpoint with discriminator and optimisers has about 2,000
_LOCAL_HEADER: Final = 30  # bytes, then name and extra field
_ENCRYPTED: Final = 1
_ZIP_ERRORS = (zipfile.BadZipFile, ValueError, OSError, struct.error, NotImplementedError, IndexError, EOFError)


def most_unpacked(size: int) -> int:
    """Bytes that a packed file of ``size`` bytes may unpack to."""
    return min(MOST_EXPANSION * size + _SPARE, LARGEST)


class MemoryFile(io.RawIOBase):
    """Bytes in memory as a file to read, without a copy of them."""

    def __init__(self, data: memoryview) -> None:
        self.data, self.at = data, 0

    def readable(self) -> bool:
        """Say yes."""
        return True

    def seekable(self) -> bool:
        """Say yes."""
        return True

    def readinto(self, place: Any) -> int:
        """Fill ``place`` as far as there are bytes."""
        target = memoryview(place).cast("B")
        part = self.data[self.at : self.at + len(target)]
        target[: len(part)] = part
        self.at += len(part)
        return len(part)

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        """Go to a place, as files do."""
        start = {io.SEEK_SET: 0, io.SEEK_CUR: self.at, io.SEEK_END: len(self.data)}[whence]
        if start + offset < 0:
            raise OSError("a place before the beginning")
        self.at = start + offset
        return self.at

    def tell(self) -> int:
        """Where it is."""
        return self.at


class ZipEntries:
    """Files in a zip, without folders and without what macOS adds.

    Parameters
    ----------
    data : bytearray
        The zip.

    Attributes
    ----------
    listed : list of zipfile.ZipInfo
    size : int
        Bound on the bytes of all entries together, whatever they claim.

    Raises
    ------
    WeightsError
        It is damaged, has very many entries, or entries that point outside it.
    """

    def __init__(self, data: bytearray) -> None:
        if data.count(b"PK\x01\x02") > _MOST_ENTRIES:  # before a table of them is made
            raise WeightsError(f"the zip has more than {_MOST_ENTRIES} entries; unpack it and import the weights in it")
        self.data, self.left = memoryview(data), most_unpacked(len(data))
        self._unpacked: dict[int, bytes] = {}
        try:
            with zipfile.ZipFile(MemoryFile(self.data)) as file:  # type: ignore[arg-type]  # it reads and seeks
                found = file.infolist()
        except _ZIP_ERRORS as error:
            raise WeightsError(f"the file is a zip that cannot be read: {reason_of(error)}; get it again") from error
        for entry in found:
            if ".." in entry.filename.split("/") or "\\" in entry.filename or ":" in entry.filename:
                raise WeightsError("the zip has entries that point outside it; it was refused")
            if entry.filename[:1] in ("", "/"):
                raise WeightsError("the zip has entries that point outside it; it was refused")
        self.listed = [
            entry
            for entry in found
            if entry.filename[-1] != "/" and not entry.filename.startswith("__MACOSX/")
            and entry.filename.rpartition("/")[2] != ".DS_Store"
        ]  # fmt: skip
        packed = any(entry.compress_type != zipfile.ZIP_STORED for entry in self.listed)
        self.size = min(sum(e.file_size for e in self.listed), most_unpacked(len(data)) if packed else len(data))

    def content(self, entry: zipfile.ZipInfo) -> memoryview | bytes:
        """Bytes of an entry, checked against its sum.

        Raises
        ------
        WeightsError
            They are cut short or altered, packed in an unusual way, or more than the zip can honestly hold.
        """
        found = self._unpacked.get(entry.header_offset)
        if found is not None:
            return found
        begin = entry.header_offset
        header = self.data[begin : begin + _LOCAL_HEADER] if begin >= 0 else b""
        if len(header) < _LOCAL_HEADER or header[:4] != b"PK\x03\x04":
            raise WeightsError("the zip is damaged: an entry is not where it should be")
        if entry.flag_bits & _ENCRYPTED:
            raise WeightsError("the zip is locked with a password; unpack it and import the weights in it")
        begin += _LOCAL_HEADER + sum(struct.unpack("<HH", header[26:30]))
        part: Any = self.data[begin : begin + entry.compress_size]
        if len(part) != entry.compress_size:
            raise WeightsError("the zip is damaged: an entry is cut short")
        if entry.compress_type == zipfile.ZIP_DEFLATED:
            part = self._unpacked[entry.header_offset] = self._inflated(part, entry.file_size)
        elif entry.compress_type != zipfile.ZIP_STORED:
            raise WeightsError("the zip is packed by an unusual method; unpack it and import the weights in it")
        if len(part) != entry.file_size or zlib.crc32(part) != entry.CRC:
            raise WeightsError("the zip is damaged: an entry is cut short or altered")
        return part  # type: ignore[no-any-return]

    def _inflated(self, part: memoryview, size: int) -> bytes:
        self.left -= size
        if self.left < 0:
            raise WeightsError(
                f"the zip unpacks to more than {MOST_EXPANSION} times its size, as no weights do; it was refused"
            )
        try:
            return zlib.decompressobj(-zlib.MAX_WBITS).decompress(part, size + 1)
        except zlib.error as error:
            raise WeightsError(f"an entry of the zip cannot be unpacked: {reason_of(error)}; get it again") from error
