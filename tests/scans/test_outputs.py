"""Result files appear all or not at all, folders too."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from napari_brgm.errors import OutputError
from napari_brgm.scans.outputs import Outputs

if TYPE_CHECKING:
    from pathlib import Path


def test_folders_are_replaced_whole_and_only_when_asked(tmp_path: Path) -> None:
    old = tmp_path / "series"
    old.mkdir()
    (old / "old.dcm").write_text("old")
    with pytest.raises(OutputError, match="series exists already"), Outputs(tmp_path, ["series"], False):
        pass
    with Outputs(tmp_path, ["series"], True, describe=False) as out:
        out.path("series").mkdir()
        (out.path("series") / "new.dcm").write_text("new")
    assert [p.name for p in old.iterdir()] == ["new.dcm"]
    assert [p.name for p in tmp_path.iterdir()] == ["series"]


def test_a_failure_keeps_the_old_folder(tmp_path: Path) -> None:
    (tmp_path / "series").mkdir()
    (tmp_path / "series" / "old.dcm").write_text("old")
    with pytest.raises(ValueError), Outputs(tmp_path, ["series"], True) as out:
        out.path("series").mkdir()
        raise ValueError
    assert (tmp_path / "series" / "old.dcm").read_text() == "old"
    assert [p.name for p in tmp_path.iterdir()] == ["series"]
