"""Zips of torch.save, read without running code.

    NAME/data.pkl      the object, storages by reference     NAME/data/KEY      elements of one storage
    NAME/version, NAME/byteorder, NAME/.data/...             small notes

torch never compresses entries; those that somebody has zipped again are unpacked within bounds (zip_entries.py).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from napari_brgm.errors import WeightsError
from napari_brgm.zoo.inert_pickle import CONVERT, Persistent, read_pickle
from napari_brgm.zoo.torch_storage import TENSOR_NAMES, Storage, TensorDecoder, described

if TYPE_CHECKING:
    import zipfile

    from napari_brgm.zoo.zip_entries import ZipEntries

__all__ = ["is_archive", "read_archive"]

_OBJECT = "data.pkl"


def is_archive(entries: ZipEntries) -> bool:
    """Whether a zip is one of torch.save."""
    return any(_below(entry) == _OBJECT for entry in entries.listed)


def read_archive(entries: ZipEntries, allowed: frozenset[str]) -> tuple[Any, TensorDecoder]:
    """Object of a torch.save file with stand-ins, and the decoder of its tensors.

    Parameters
    ----------
    entries : ZipEntries
        Of the file.
    allowed : frozenset[str]
        Global names that may occur beside those of tensors.

    Raises
    ------
    WeightsError
        The file is damaged, a program of TorchScript, or asks for anything that is not allowed.
    """
    archive = _Archive.of(entries)
    if "constants.pkl" in archive.named:
        raise WeightsError(f"the file is a TorchScript program, whose code is not read; {CONVERT}")
    order = archive.named.get("byteorder")
    if order is not None and bytes(entries.content(order)[:10]) != b"little":
        raise WeightsError("the torch archive is of a machine with another byte order; save it on a common one")
    references: list[Persistent] = []
    pickled = memoryview(entries.content(archive.named[_OBJECT]))
    value, _ = read_pickle(pickled, 0, allowed | TENSOR_NAMES, references)
    return value, TensorDecoder(archive.storage, 4 * entries.size)


def _below(entry: zipfile.ZipInfo) -> str:
    """Name below the one top folder."""
    return entry.filename.partition("/")[2]


@dataclass(frozen=True, slots=True)
class _Archive:
    entries: ZipEntries
    named: dict[str, zipfile.ZipInfo]  # by their names below the one top folder

    @classmethod
    def of(cls, entries: ZipEntries) -> _Archive:
        tops = {entry.filename.partition("/")[0] for entry in entries.listed}
        named = {_below(entry): entry for entry in entries.listed}
        if len(tops) != 1 or len(named) != len(entries.listed):
            raise WeightsError("the zip is not a torch archive: its entries are not in one folder, each once")
        return cls(entries, named)

    def storage(self, reference: Persistent) -> Storage:
        key, dtype, count = described(reference)
        entry = self.named.get(f"data/{key}")
        if entry is None or entry.file_size != count * dtype.itemsize:
            raise WeightsError("the torch archive is damaged: a storage is missing or of another size")
        return Storage(dtype, memoryview(self.entries.content(entry)))
