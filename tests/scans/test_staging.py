"""Hidden folders are removed by the next run when their owner is gone, and never before."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from napari_brgm.scans import staging as staged
from napari_brgm.scans.outputs import Outputs
from napari_brgm.scans.staging import Staging, private_folder, remove_stale

if TYPE_CHECKING:
    from pathlib import Path

OWNER = """
import sys, time
from pathlib import Path
from napari_brgm.scans.staging import Staging
staging = Staging.made_in(Path(sys.argv[1]))
(staging.path / "patient.nii.gz").write_bytes(b"x")
print("ready", flush=True)
time.sleep(60)
"""


def test_that_of_a_killed_process_goes_and_that_of_a_living_one_stays(tmp_path: Path) -> None:
    with subprocess.Popen([sys.executable, "-c", OWNER, str(tmp_path)], stdout=subprocess.PIPE) as process:
        assert process.stdout is not None and process.stdout.readline() == b"ready\n"
        (left,) = tmp_path.iterdir()
        remove_stale(tmp_path)
        assert (left / "patient.nii.gz").exists()
        os.kill(process.pid, signal.SIGKILL)
    remove_stale(tmp_path)
    assert not left.exists()


def test_one_of_the_same_process_stays(tmp_path: Path) -> None:
    """An animation and the other results of a run may go into one folder."""
    with Outputs(tmp_path, ["a"], False, describe=False) as first:
        with Outputs(tmp_path, ["b"], False, describe=False) as second:
            second.path("b").write_text("b")
        first.path("a").write_text("a")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a", "b"]


def test_other_hidden_things_stay(tmp_path: Path) -> None:
    (tmp_path / ".git").mkdir()
    (tmp_path / ".brgm-notes").write_text("a file")
    remove_stale(tmp_path)
    assert (tmp_path / ".git").exists() and (tmp_path / ".brgm-notes").exists()


def test_a_folder_that_is_not_there_has_none(tmp_path: Path) -> None:
    remove_stale(tmp_path / "none")


def test_only_the_owner_can_look_inside(tmp_path: Path) -> None:
    staging = Staging.made_in(tmp_path)
    assert staging.path.stat().st_mode & 0o777 == 0o700
    staging.remove()
    assert not list(tmp_path.iterdir())


def test_a_folder_that_another_process_removes_while_it_is_made_is_made_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Between ``mkdir`` and ``chmod``, when it has no lock yet."""
    made = []

    def taken_once(path: Path) -> None:
        made.append(path)
        if len(made) == 1:
            raise FileNotFoundError(2, "No such file or directory", str(path))
        private_folder(path)

    monkeypatch.setattr(staged, "private_folder", taken_once)
    own = Staging.made_in(tmp_path)
    assert own.path == made[1] and own.path.is_dir()
    own.remove()
    with pytest.raises(FileNotFoundError):
        Staging.made_in(tmp_path / "missing")
