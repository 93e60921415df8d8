"""Places are claimed by the step that fills them."""

from __future__ import annotations

import os
import stat
from typing import TYPE_CHECKING

import pytest

from napari_brgm.scans import claim
from napari_brgm.scans.claim import Claim

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def hidden(tmp_path: Path) -> Path:
    (tmp_path / ".hidden").mkdir()
    (tmp_path / ".hidden" / "new").write_text("new")
    return tmp_path / ".hidden"


def no_links(*_: object, **__: object) -> None:
    raise PermissionError(1, "Operation not permitted")


@pytest.mark.parametrize("links", [True, False])
def test_what_appeared_meanwhile_is_kept(hidden: Path, tmp_path: Path, monkeypatch, links: bool) -> None:
    """Catches a rename, which replaces; on file systems without links too."""
    if not links:
        monkeypatch.setattr(claim.os, "link", no_links)
    (tmp_path / "place").write_text("of another run")
    with pytest.raises(FileExistsError):
        Claim(hidden, overwrite=False).put(hidden / "new", tmp_path / "place")
    assert (tmp_path / "place").read_text() == "of another run"


@pytest.mark.parametrize("links", [True, False])
def test_a_free_place_is_filled(hidden: Path, tmp_path: Path, monkeypatch, links: bool) -> None:
    if not links:
        monkeypatch.setattr(claim.os, "link", no_links)
    Claim(hidden, overwrite=False).put(hidden / "new", tmp_path / "place")
    assert (tmp_path / "place").read_text() == "new"


def test_folders_are_claimed_too(hidden: Path, tmp_path: Path) -> None:
    for folder in (hidden / "series", tmp_path / "series"):
        folder.mkdir()
        (folder / "0001.dcm").write_text(folder.parent.name)
    with pytest.raises(FileExistsError):
        Claim(hidden, overwrite=False).put(hidden / "series", tmp_path / "series")
    assert (tmp_path / "series" / "0001.dcm").read_text() == tmp_path.name


def test_moves_are_taken_back(hidden: Path, tmp_path: Path) -> None:
    """Catches half of a set, and old files lost, where a later one cannot be moved."""
    (tmp_path / "old").write_text("old")
    (hidden / "old").write_text("its successor")
    moved = Claim(hidden, overwrite=True)
    moved.put(hidden / "new", tmp_path / "new")
    moved.put(hidden / "old", tmp_path / "old")
    moved.take_back()
    assert not (tmp_path / "new").exists() and (tmp_path / "old").read_text() == "old"


def test_a_link_that_is_there_is_not_followed(hidden: Path, tmp_path: Path) -> None:
    (tmp_path / "target").write_text("precious")
    (tmp_path / "place").symlink_to(tmp_path / "target")
    with pytest.raises(FileExistsError):
        Claim(hidden, overwrite=False).put(hidden / "new", tmp_path / "place")
    Claim(hidden, overwrite=True).put(hidden / "new", tmp_path / "place")
    assert (tmp_path / "target").read_text() == "precious" and not (tmp_path / "place").is_symlink()


@pytest.mark.parametrize("umask", [0o000, 0o022, 0o277])
def test_modes_are_private_whatever_the_umask(hidden: Path, tmp_path: Path, umask: int) -> None:
    before = os.umask(umask)
    try:
        (hidden / "series").mkdir(0o755)
        os.chmod(hidden / "series", 0o755)
        (hidden / "series" / "0001.dcm").write_text("x")
        Claim(hidden, overwrite=False).put(hidden / "series", tmp_path / "series")
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / "series").stat().st_mode) == 0o700
    assert stat.S_IMODE((tmp_path / "series" / "0001.dcm").stat().st_mode) == 0o600
