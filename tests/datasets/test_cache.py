"""The cache: stale or damaged slices would be trained on without a word."""

import numpy as np
import pytest

from napari_brgm.datasets import Framing, cached, read_slices
from napari_brgm.errors import OutputError, ScanError

FRAMING = Framing(24)


@pytest.fixture
def count(monkeypatch):
    """Calls of the reader."""
    calls = []

    def counted(*arguments, **options):
        calls.append(1)
        return read_slices(*arguments, **options)

    monkeypatch.setattr("napari_brgm.datasets.cache.read_slices", counted)
    return calls


@pytest.fixture
def source(zipped, encoded, grey):
    return zipped({f"s{i}/a.png": encoded(grey(3000 + i, dtype=np.uint16)) for i in range(5)})


def same(a, b):
    arrays = np.array_equal(a.images, b.images) and np.array_equal(a.subjects, b.subjects)
    return arrays and a.describe() == b.describe() and (a.names, a.subject_names) == (b.names, b.subject_names)


def test_the_second_time_nothing_is_decoded(tmp_path, source, count):
    first = cached(source, FRAMING, tmp_path / "work")
    second = cached(source, FRAMING, tmp_path / "work")
    assert len(count) == 1
    assert same(first, second)
    assert first.images.dtype == second.images.dtype == np.uint16


def test_other_arguments_or_another_source_are_read_anew(tmp_path, source, count, zipped, encoded, grey):
    cached(source, FRAMING, tmp_path / "work")
    assert len(cached(source, FRAMING, tmp_path / "work", stride=2)) == 3
    assert cached(source, Framing(32), tmp_path / "work").images.shape[-1] == 32
    changed = zipped({f"s{i}/a.png": encoded(grey(3001 + i, dtype=np.uint16)) for i in range(5)})
    changed.replace(source)
    assert cached(source, FRAMING, tmp_path / "work").images[0, 0, 12, 12] == 3001 << 4
    assert len(count) == 4


def test_a_copied_archive_is_known_again(tmp_path, source, count):
    cached(source, FRAMING, tmp_path / "work")
    (tmp_path / "elsewhere").mkdir()
    moved = source.rename(tmp_path / "elsewhere" / source.name)
    cached(moved, FRAMING, tmp_path / "work")
    assert len(count) == 1


def test_damaged_files_are_made_again(tmp_path, source, count):
    folder = tmp_path / "work"
    whole = cached(source, FRAMING, folder)
    images, record = next(folder.glob("*.npy")), next(folder.glob("*.json"))
    data = images.read_bytes()
    for damage in (data[:-40], data[:-40] + b"\1" * 40, b"", data[:10]):
        images.write_bytes(damage)
        assert same(cached(source, FRAMING, folder), whole)
    for text in ("", "[]", "{}", record.read_text()[:-30]):
        record.write_text(text)
        assert same(cached(source, FRAMING, folder), whole)
    record.unlink()
    assert same(cached(source, FRAMING, folder), whole)
    assert len(count) == 10
    assert not list(folder.glob("*.part"))


def test_volumes_are_kept_with_their_windows(tmp_path, count, write_nifti):
    volume = np.random.default_rng(0).uniform(0, 900, (12, 12, 4)).astype(np.float32)
    path = write_nifti(tmp_path / "set" / "a.nii", volume, np.eye(4))
    first = cached(tmp_path / "set", Framing(12), tmp_path / "work")
    assert same(first, cached(tmp_path / "set", Framing(12), tmp_path / "work"))
    assert len(count) == 1
    assert len(first.windows) == 1
    write_nifti(path, 2 * volume[:, :, :3], np.eye(4))
    assert len(cached(tmp_path / "set", Framing(12), tmp_path / "work")) == 3


def test_refusals_leave_nothing(tmp_path, source):
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputError, match="cannot keep"):
        cached(source, FRAMING, tmp_path / "file")
    with pytest.raises(ScanError, match="there is no file"):
        cached(tmp_path / "none", FRAMING, tmp_path / "work")
    assert not (tmp_path / "work").exists()
