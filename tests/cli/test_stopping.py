"""Signals that end a process end a run as Ctrl-C does."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from pathlib import Path

# a run that has begun: its hidden folder is there, and it works
RUN = """
import sys, time
from pathlib import Path
import typer
from napari_brgm.cli import app, main
from napari_brgm.scans.outputs import Outputs

@app.command("work")
def work():
    with Outputs(Path(sys.argv[2]), ["result"], False) as out:
        out.path("result").write_text("of a patient")
        print("ready", flush=True)
        time.sleep(60)

main()
"""


def begun(out: Path, ignoring: str = "") -> subprocess.Popen[bytes]:
    """As from a terminal, also where these tests are a job in the background, which ignores signals of terminals."""
    default = "signal.signal(signal.SIGINT, signal.default_int_handler); signal.signal(signal.SIGHUP, signal.SIG_DFL)"
    code = f"import signal; {default}; {ignoring}\n{RUN.replace('def work():', 'def work(out: str):')}"
    process = subprocess.Popen(
        [sys.executable, "-c", code, "work", str(out)], stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    assert process.stdout is not None and process.stdout.readline() == b"ready\n"
    return process


@pytest.mark.parametrize("name", ["SIGINT", "SIGTERM", "SIGHUP", "SIGXCPU"])
def test_nothing_is_left_behind(tmp_path: Path, name: str) -> None:
    number = getattr(signal, name)
    with begun(tmp_path / "out") as process:
        assert len(list((tmp_path / "out").iterdir())) == 1
        os.kill(process.pid, number)
        _, told = process.communicate(timeout=30)
    assert process.returncode == 128 + number
    assert told.decode().strip() == "napari-brgm: stopped; no file was left half-written"
    assert not (tmp_path / "out").exists()


def test_a_signal_that_is_ignored_stays_so(tmp_path: Path) -> None:
    """As under nohup."""
    with begun(tmp_path / "out", "signal.signal(signal.SIGHUP, signal.SIG_IGN)") as process:
        os.kill(process.pid, signal.SIGHUP)
        with pytest.raises(subprocess.TimeoutExpired):
            process.wait(1)
        process.terminate()
        process.communicate(timeout=30)


def test_what_a_killed_run_left_goes_with_the_next(tmp_path: Path) -> None:
    from napari_brgm.scans.outputs import Outputs

    with begun(tmp_path / "out") as process:
        os.kill(process.pid, signal.SIGKILL)
        process.communicate(timeout=30)
    (left,) = (tmp_path / "out").iterdir()
    with Outputs(tmp_path / "out", ["result"], False, describe=False) as out:
        assert not left.exists()
        out.path("result").write_text("whole")
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["result"]
