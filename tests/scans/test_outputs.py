"""Result files appear all or not at all, folders too."""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor
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


def test_a_file_that_another_run_wrote_meanwhile_is_kept(tmp_path: Path) -> None:
    """Catches the last of two runs into one folder, which replaced all that the first had written."""
    with pytest.raises(OutputError, match=r"b exists already in .*; choose another name or folder or allow"):  # noqa: SIM117
        with Outputs(tmp_path, ["a", "b"], False, describe=False) as out:
            out.path("a").write_text("mine")
            out.path("b").write_text("mine")
            (tmp_path / "b").write_text("theirs")
    assert [path.name for path in tmp_path.iterdir()] == ["b"] and (tmp_path / "b").read_text() == "theirs"


@pytest.mark.parametrize("name", ["x" * 256, "ä" * 128])
def test_a_name_that_is_too_long_is_refused_before_anything_is_computed(tmp_path: Path, name: str) -> None:
    with (
        pytest.raises(OutputError, match="File name too long; choose a shorter name"),
        Outputs(tmp_path, [name], False),
    ):
        raise AssertionError("it was entered")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("wrapped", [False, True])
def test_a_full_disk_is_called_so(tmp_path: Path, wrapped: bool) -> None:
    """Whether the writer lets the system's error through or has made a sentence of it; no hidden folder is named."""
    full = OSError(28, "No space left on device")
    with pytest.raises(OutputError) as told, Outputs(tmp_path / "out", ["a", "b"], False):
        if wrapped:
            raise OutputError("cannot write a into .brgm-1") from full
        raise full
    assert str(told.value) == (
        f"cannot write into {tmp_path / 'out'}: No space left on device; free some space, or choose another disk"
    )


def test_errors_of_what_was_read_are_not_called_errors_of_writing(tmp_path: Path) -> None:
    missing = FileNotFoundError(2, "No such file or directory", "/scans/mask.nii")
    with pytest.raises(FileNotFoundError), Outputs(tmp_path, ["a"], False):
        raise missing


def test_a_reader_that_leaves_is_no_error_of_writing(tmp_path: Path) -> None:
    with pytest.raises(BrokenPipeError), Outputs(tmp_path, ["a"], False):
        raise BrokenPipeError(32, "Broken pipe")


@pytest.mark.parametrize("umask", [0o000, 0o077, 0o177])
def test_results_are_for_their_owner_alone(tmp_path: Path, umask: int) -> None:
    before = os.umask(umask)
    try:
        with Outputs(tmp_path / "deep" / "out", ["a"], False) as out:
            out.path("a").write_text("a")
    finally:
        os.umask(before)
    for folder in (tmp_path / "deep", tmp_path / "deep" / "out"):
        assert folder.stat().st_mode & 0o777 == 0o700
    for file in (tmp_path / "deep" / "out").iterdir():
        assert file.stat().st_mode & 0o777 == 0o600, file.name


def test_sets_of_two_runs_that_may_overwrite_never_mix(tmp_path: Path) -> None:
    names = [f"{i}" for i in range(20)]

    def run(text: str) -> None:
        for _ in range(10):
            with Outputs(tmp_path, names, True, describe=False) as out:
                for name in names:
                    out.path(name).write_text(text)

    with ThreadPoolExecutor(2) as pool:
        for done in [pool.submit(run, text) for text in "ab"]:
            done.result()
    assert len({(tmp_path / name).read_text() for name in names}) == 1
