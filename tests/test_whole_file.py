"""Files that are written whole: the old one stays where the new one fails, and nothing is left beside it."""

from __future__ import annotations

import pytest

from napari_brgm.whole_file import whole_file


def test_what_fails_leaves_the_old_file_and_nothing_else(tmp_path):
    path = tmp_path / ("n" * 250 + ".txt")  # as long as a name may be, or nearly
    path.write_text("old")

    def fail() -> None:
        with whole_file(path) as draft:
            draft.write_text("half")
            raise OSError(28, "No space left on device")

    with pytest.raises(OSError, match="No space"):
        fail()
    assert path.read_text() == "old" and list(tmp_path.iterdir()) == [path]


def test_a_private_file_is_private_from_the_first_byte(tmp_path):
    with whole_file(tmp_path / "a", private=True) as draft:
        assert draft.stat().st_mode & 0o777 == 0o600
        draft.write_text("of a patient")
    assert (tmp_path / "a").stat().st_mode & 0o777 == 0o600
