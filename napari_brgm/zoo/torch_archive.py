"""Files of torch.save: the zip layout of today and the older one, read without running code.

    NAME/data.pkl      the object, storages by reference     NAME/data/KEY      elements of one storage
    NAME/version, NAME/byteorder, NAME/.data/...             small notes

torch never compresses entries, so a compressed one is refused: no entry can be larger than the file.
"""

from __future__ import annotations

import struct
import zipfile
import zlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from napari_brgm.errors import WeightsError
from napari_brgm.zoo.inert_pickle import Persistent, read_pickle
from napari_brgm.zoo.torch_storage import STORAGE_NAMES, Storage, TensorDecoder, described, read_legacy

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["read_archive"]

_MOST_ENTRIES: Final = 20_000  # a checkpoint with discriminator and optimisers has about 2,000
_LOCAL_HEADER: Final = 30  # bytes, then name and extra field
_ZIP_ERRORS = (zipfile.BadZipFile, ValueError, OSError, struct.error, NotImplementedError, IndexError, EOFError)


def read_archive(path: Path, data: bytearray, allowed: frozenset[str]) -> tuple[Any, TensorDecoder]:
    """Object of a torch.save file with stand-ins, and the decoder of its tensors.

    Parameters
    ----------
    path : Path
        For the directory of a zip; all else comes from ``data``, the bytes of the same file, which is not copied.
    allowed : frozenset[str]
        Global names that may occur beside the storages.

    Raises
    ------
    WeightsError
        The file is damaged, compressed, or asks for anything that is not allowed.
    """
    if data[:2] != b"PK":
        value, storages = read_legacy(memoryview(data), allowed)
        return value, TensorDecoder.over(storages, len(data))
    archive = _Archive.of(path, data)
    order = archive.entries.get("byteorder")
    if order is not None and bytes(archive.content(order)[:10]) != b"little":
        raise WeightsError("the torch archive is of a machine with another byte order")
    if "data.pkl" not in archive.entries:
        raise WeightsError("the zip is not a torch archive: it has no data.pkl")
    references: list[Persistent] = []
    pickled = archive.content(archive.entries["data.pkl"])
    value, _ = read_pickle(pickled, 0, allowed | STORAGE_NAMES, references)
    return value, TensorDecoder(archive.storage, 4 * len(data))


@dataclass(frozen=True, slots=True)
class _Archive:
    data: memoryview
    entries: dict[str, zipfile.ZipInfo]  # by their names below the one top folder

    @classmethod
    def of(cls, path: Path, data: bytearray) -> _Archive:
        if data.count(b"PK\x01\x02") > _MOST_ENTRIES:  # before a table of them is made
            raise WeightsError("the zip has more entries than any published generator")
        try:
            with zipfile.ZipFile(path) as file:
                listed = file.infolist()
        except _ZIP_ERRORS as error:
            raise WeightsError("the file is a zip that is damaged or cut short") from error
        entries: dict[str, zipfile.ZipInfo] = {}
        for entry in listed:
            top, _, below = entry.filename.partition("/")
            if not top or ".." in entry.filename.split("/") or "\\" in entry.filename or ":" in entry.filename:
                raise WeightsError("the zip has entries that point outside it; it was refused")
            if entry.compress_type != zipfile.ZIP_STORED or entry.file_size != entry.compress_size:
                raise WeightsError("the zip is compressed, as no torch archive is; it was refused")
            if below in entries or top != listed[0].filename.partition("/")[0]:
                raise WeightsError("the zip is not a torch archive: its entries are not in one folder, each once")
            entries[below] = entry
        return cls(memoryview(data), entries)

    def content(self, entry: zipfile.ZipInfo) -> memoryview:
        """Bytes of an entry, checked against its sum."""
        header = (
            self.data[entry.header_offset : entry.header_offset + _LOCAL_HEADER] if entry.header_offset >= 0 else b""
        )
        if len(header) < _LOCAL_HEADER or header[:4] != b"PK\x03\x04":
            raise WeightsError("the torch archive is damaged: an entry is not where it should be")
        begin = entry.header_offset + _LOCAL_HEADER + sum(struct.unpack("<HH", header[26:30]))
        found = self.data[begin : begin + entry.file_size]
        if len(found) != entry.file_size or zlib.crc32(found) != entry.CRC:
            raise WeightsError("the torch archive is damaged: an entry is cut short or altered")
        return found

    def storage(self, reference: Persistent) -> Storage:
        key, dtype, count = described(reference)
        entry = self.entries.get(f"data/{key}")
        if entry is None or entry.file_size != count * dtype.itemsize:
            raise WeightsError("the torch archive is damaged: a storage is missing or of another size")
        return Storage(dtype, self.content(entry))
