"""What is packed is unpacked whole, within bounds, and refused where it is damaged or too much."""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import os
import zipfile

import pytest

from napari_brgm.errors import WeightsError
from napari_brgm.zoo.packed_file import only_file, unpacked
from napari_brgm.zoo.zip_entries import MOST_EXPANSION, ZipEntries, most_unpacked

PACKERS = (gzip.compress, bz2.compress, lzma.compress)


@pytest.mark.parametrize("pack", PACKERS)
def test_streams(pack):
    content = os.urandom(3 << 20)  # more than one piece
    packed = pack(content)
    assert unpacked(bytearray(packed)) == content
    assert unpacked(bytearray(packed + packed)) == content * 2
    assert unpacked(bytearray(packed + bytes(8))) == content  # zeros pad the end
    for end in (3, len(packed) // 2, len(packed) - 1):
        with pytest.raises(WeightsError, match="cannot be unpacked: "):
            unpacked(bytearray(packed[:end] if end > 3 else packed[:10]))
    with pytest.raises(WeightsError, match="cannot be unpacked: "):
        unpacked(bytearray(packed + b"something else"))
    plain = bytearray(b"as it is")
    assert unpacked(plain) is plain


@pytest.mark.parametrize("pack", PACKERS)
def test_the_bound(pack):
    """Of a small file a megabyte may come; of anything, no more than a few times its size."""
    assert len(unpacked(bytearray(pack(bytes(1 << 20))))) == 1 << 20
    with pytest.raises(WeightsError, match=f"more than {MOST_EXPANSION} times its size"):
        unpacked(bytearray(pack(bytes(1 << 23))))
    assert most_unpacked(1 << 40) == 4 << 30


def test_the_one_file_of_a_zip():
    def entries(*names: str, size: int = 10) -> ZipEntries:
        file = io.BytesIO()
        with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as out:
            for name in names:
                out.writestr(name, bytes(size))
        return ZipEntries(bytearray(file.getvalue()))

    for names in (["a.bin"], ["x"], ["folder/", "folder/net.PKL", "LICENSE"], ["a.pt", "__MACOSX/._a.pt", ".DS_Store"]):
        assert only_file(entries(*names)) == bytes(10)
    for names, says in (([], "no weights files"), (["a", "b"], "no weights files"), (["a.pt", "b.pkl"], "2 weights")):
        with pytest.raises(WeightsError, match=says):
            only_file(entries(*names))
    with pytest.raises(WeightsError, match="times its size"):
        only_file(entries("a.pkl", size=1 << 23))
