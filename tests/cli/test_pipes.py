"""Output that goes into a pipe whose reader leaves early, as ``| head`` does."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest


def test_a_reader_that_leaves_gets_no_complaint():
    """Catches 'cannot use: Broken pipe; check the path and its permissions'."""
    with subprocess.Popen(
        [sys.executable, "-m", "napari_brgm", "weights", "list", "--json"], stdout=subprocess.PIPE,
        stderr=subprocess.PIPE, text=True,
    ) as process:  # fmt: skip
        assert process.stdout is not None and process.stderr is not None
        process.stdout.close()
        assert process.stderr.read() == ""
    assert process.returncode == 1


@pytest.mark.parametrize(
    "arguments", [("--help",), ("info",), ("weights", "list"), ("inpaint", "--help"), ("weights", "verify")]
)
def test_head_ends_every_listing_quietly(arguments):
    done = subprocess.run(
        ["bash", "-c", '"$0" -m napari_brgm "$@" | head -1', sys.executable, *arguments], capture_output=True,
        text=True, check=False, timeout=120,
    )  # fmt: skip
    assert done.stderr == "" and len(done.stdout.splitlines()) <= 1


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no /dev/full")
def test_a_full_disk_behind_the_output_is_said_of_the_output():
    """Catches 'cannot use: No space left on device', which sounds as though the results were lost."""
    with Path("/dev/full").open("w") as full:
        done = subprocess.run(
            [sys.executable, "-m", "napari_brgm", "weights", "list"], stdout=full, stderr=subprocess.PIPE, text=True,
            check=False, timeout=120,
        )  # fmt: skip
    assert done.returncode == 2
    assert "the standard output cannot be written: No space left on device; files of results" in done.stderr
