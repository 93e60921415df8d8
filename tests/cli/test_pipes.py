"""Output that goes into a pipe whose reader leaves early, as ``| head`` does."""

from __future__ import annotations

import subprocess
import sys


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
