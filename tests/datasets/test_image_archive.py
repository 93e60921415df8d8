"""Archives: another order would move slices between subjects; a hostile one must not fill memory or disk."""

import zipfile

import numpy as np
import pytest

from napari_brgm.datasets.image_archive import ImageArchive, natural_order, subjects_of
from napari_brgm.errors import ScanError


def test_zip_and_folder_give_the_same_in_the_same_order(tmp_path, zipped, encoded, grey):
    names = ["s10/a.PNG", "s2/slice-10.png", "s2/slice-9.png", "s2/README.txt", "__MACOSX/s2/._a.png", "s2/.a.png"]
    content = {name: encoded(grey(20 + i)) for i, name in enumerate(names)}
    for name, data in content.items():
        (tmp_path / "folder" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "folder" / name).write_bytes(data)
    for source in (zipped(content), tmp_path / "folder"):
        with ImageArchive(source) as archive:
            assert archive.names == ("s2/slice-9.png", "s2/slice-10.png", "s10/a.PNG")
            assert [int(archive.pixels(name)[-1, -1]) for name in archive.names] == [22, 21, 20]


def test_numbers_and_words_can_be_compared():
    names = ["a/1", "1/a", "a", "a1", "a01", "", "11", "2", "²"]
    assert sorted(names, key=natural_order).index("2") < sorted(names, key=natural_order).index("11")


def test_a_wrapping_folder_is_no_subject_but_a_single_subject_is_one():
    assert subjects_of(("set/a/1.png", "set/b/x/2.png")) == ("a", "b")
    assert subjects_of(("a/1.png", "a/2.png")) == ("a", "a")
    assert subjects_of(("a/1.png", "2.png")) == ("a", "2")


def test_encrypted_damaged_and_missing(tmp_path, zipped, encoded, grey):
    path = zipped({"a.png": encoded(grey(9))})
    whole = path.read_bytes()
    entry = whole.index(b"PK\x01\x02")
    path.write_bytes(whole[:6] + b"\x01" + whole[7 : entry + 8] + b"\x01" + whole[entry + 9 :])  # the flag alone
    with ImageArchive(path) as archive, pytest.raises(ScanError, match=r"a\.png in .* is encrypted"):
        archive.pixels("a.png")
    path.write_bytes(whole[:40] + bytes(12) + whole[52:])
    with ImageArchive(path) as archive, pytest.raises(ScanError, match="cannot be unpacked"):
        archive.pixels("a.png")
    path.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(ScanError, match="not a readable zip"):
        ImageArchive(path)
    with pytest.raises(ScanError, match="does not exist"):
        ImageArchive(tmp_path / "none.zip")


def test_bombs_are_not_unpacked(tmp_path, monkeypatch):
    monkeypatch.setattr("napari_brgm.datasets.image_archive._LARGEST_FILE", 1 << 24)
    path = tmp_path / "bomb.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive, archive.open("a.png", "w") as entry:
        for _ in range(17):
            entry.write(bytes(1 << 20))
    with ImageArchive(path) as archive, pytest.raises(ScanError, match="unpacks to 18 MB"):
        archive.pixels("a.png")
    whole = path.read_bytes()
    lie = (1000).to_bytes(4, "little")  # a small size in the directory, before 17 MB of data
    at = whole.index(b"PK\x01\x02") + 24
    path.write_bytes(whole[:at] + lie + whole[at + 4 :])
    with ImageArchive(path) as archive, pytest.raises(ScanError, match=r"a\.png"):
        archive.pixels("a.png")


def test_names_that_climb_out_are_only_names(tmp_path, zipped, encoded, grey):
    path = zipped({"../../evil.png": encoded(grey(9)), "/etc/b.png": encoded(grey(7)), ".": b"x"})
    before = sorted(tmp_path.rglob("*"))
    with ImageArchive(path) as archive:
        assert [int(archive.pixels(name)[-1, -1]) for name in archive.names if "evil" in name] == [9]
    assert sorted(tmp_path.rglob("*")) == before


def test_mutated_zips_end_in_pixels_or_a_sentence(zipped, encoded, grey):
    path = zipped({f"{i}/a.png": encoded(grey(9 * i + 5)) for i in range(3)})
    whole = np.frombuffer(path.read_bytes(), np.uint8)
    rng = np.random.default_rng(2)
    read = refused = 0
    for _ in range(250):
        data = whole.copy()
        data[rng.integers(0, len(data), rng.integers(1, 5))] = rng.integers(0, 256)
        path.write_bytes(data.tobytes())
        try:
            with ImageArchive(path) as archive:
                for name in archive.names:
                    assert archive.pixels(name).shape[:2] == (20, 16)
            read += 1
        except ScanError:
            refused += 1
    assert min(read, refused) > 20
