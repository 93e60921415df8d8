"""No number of a zip is believed, and no entry leads out of it."""

from __future__ import annotations

import io
import os
import zipfile

import pytest

from napari_brgm.errors import WeightsError
from napari_brgm.zoo.zip_entries import MemoryFile, ZipEntries, most_unpacked


def packed(method: int = zipfile.ZIP_DEFLATED, **files: bytes) -> bytearray:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", method) as out:
        for name, content in files.items():
            out.writestr(name, content)
    return bytearray(file.getvalue())


def test_a_file_in_memory_is_a_file():
    file = MemoryFile(memoryview(b"0123456789"))
    assert file.read(4) == b"0123" and file.tell() == 4 and file.readable() and file.seekable()
    assert file.seek(-3, os.SEEK_END) == 7 and file.read() == b"789" and file.read(1) == b""
    assert file.seek(2) == 2 and file.seek(1, os.SEEK_CUR) == 3 and file.seek(99) == 99 and file.read(5) == b""
    with pytest.raises(OSError, match="before"):
        file.seek(-1)


@pytest.mark.parametrize("method", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])
def test_entries_come_back(method):
    noise = os.urandom(5000)
    entries = ZipEntries(packed(method, a=noise, b=bytes(5000)))
    assert [bytes(entries.content(entry)) for entry in entries.listed * 2] == [noise, bytes(5000)] * 2


def test_claims_that_are_false():
    data = packed(a=bytes(5000))
    at = data.index(b"PK\x01\x02")
    for field, value in ((24, 4999), (24, 5001), (24, 1 << 30), (20, 3), (20, 1 << 31), (42, 7), (42, 1 << 31)):
        wrong = bytearray(data)
        wrong[at + field : at + field + 4] = value.to_bytes(4, "little")  # size, size packed, place
        with pytest.raises(WeightsError, match=r"damaged|cannot be|times its size"):
            entries = ZipEntries(wrong)
            entries.content(entries.listed[0])
    locked = bytearray(data)
    locked[at + 8] |= 1
    with pytest.raises(WeightsError, match="password"):
        ZipEntries(locked).content(ZipEntries(locked).listed[0])


def test_entries_that_share_their_bytes():
    """A thousand names of one entry: the size of all is that of the file at most, of packed ones within the bound."""
    for method in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        data = packed(method, a=os.urandom(50_000))
        at, end = data.index(b"PK\x01\x02"), data.index(b"PK\x05\x06")
        record, tail = bytes(data[at:end]), data[end:]
        tail[8:10] = tail[10:12] = (1000).to_bytes(2, "little")
        tail[12:16] = (1000 * len(record)).to_bytes(4, "little")
        entries = ZipEntries(data[:at] + record * 1000 + tail)
        assert len(entries.listed) == 1000
        assert entries.size == (len(entries.data) if method == zipfile.ZIP_STORED else most_unpacked(len(entries.data)))
        assert {len(entries.content(entry)) for entry in entries.listed} == {50_000}


def test_places_outside():
    for name in ("../a", "/a", "a/../b", "C:/a", "a\\b"):
        with pytest.raises(WeightsError, match="outside"):
            ZipEntries(packed(**{name: b"x"}))
