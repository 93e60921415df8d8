"""A hundred mutants of every kind of file end in a scan, a prior, a picture, or one sentence (fuzz.py)."""

from __future__ import annotations

import json
import random
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest
from fuzzing.damage import damaged

COMMAND = Path(__file__).with_name("fuzz.py")
LINUX = pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="needs /proc")
CASES = {"nifti": 150, "dicom": 120, "tensors": 100, "networks": 40, "pictures": 150}  # fuzz.py --cases takes more


def run(out: Path, *words: object) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(COMMAND), "--out", str(out), *map(str, words)]
    return subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)


@LINUX
@pytest.mark.parametrize("kind", CASES)
def test_mutants_are_read_or_refused_in_a_sentence(kind, tmp_path):
    """Catches readers that end in a traceback, a crash, a hang, or with memory out of all proportion."""
    done = run(tmp_path, "--kind", kind, "--cases", CASES[kind], "--seed", 1)
    assert done.returncode == 0, done.stdout + done.stderr
    assert f"{CASES[kind]} cases" in done.stdout and " 0 read" not in done.stdout


READERS = """
    import os, subprocess, sys
    from pathlib import Path
    sys.path.insert(0, {folder!r})
    from fuzzing import trial
    from napari_brgm.errors import BrgmError, InputError

    def fail(error):
        raise error

    def busy(path):
        while True:
            pass

    trial.HANG, trial.MEMORY = 1, 64 << 20
    folder = Path({place!r}) / "case"
    folder.mkdir()
    path = folder / "file"
    path.write_bytes(b"x" * 1000)
    for name, read in {{
        "read": lambda p: 3, "refused": lambda p: fail(InputError("file is odd; choose another")),
        "traceback": lambda p: fail(ValueError("x")), "lines": lambda p: fail(InputError("two\\nlines")),
        "silent": lambda p: fail(InputError("")), "program": lambda p: subprocess.run(["true"]).returncode,
        "written": lambda p: (p.parent / "other").write_bytes(b"x"), "crash": lambda p: os.abort(),
        "exit": lambda p: sys.exit(3), "hang": busy, "memory": lambda p: len(bytearray(100 << 20)) // 10**9,
        "honest": lambda p: len(bytearray(100 << 20)),
    }}.items():
        print(name, trial.tried(read, path, 1000).ending, flush=True)
        for beside in set(folder.iterdir()) - {{path}}:
            beside.unlink()
"""


@LINUX
def test_every_way_to_fail_is_seen(tmp_path):
    """Of readers that fail on purpose; memory that what was read takes is no failure."""
    code = textwrap.dedent(READERS).format(folder=str(COMMAND.parent), place=str(tmp_path))
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    assert dict(line.split() for line in done.stdout.splitlines()) == {
        "read": "read", "refused": "refused", "traceback": "traceback", "lines": "traceback", "silent": "traceback",
        "program": "traceback", "written": "traceback", "crash": "crash", "exit": "traceback", "hang": "hang",
        "memory": "memory", "honest": "read",
    }  # fmt: skip


@LINUX
def test_a_run_goes_on_and_tries_failures_again(tmp_path):
    """Catches cases that are run twice, failures that stay after they are mended, and logs of other samples."""
    assert run(tmp_path, "--kind", "pictures", "--cases", 5).returncode == 0
    log = tmp_path / "pictures-0.jsonl"
    digest, *lines = log.read_text().splitlines()
    failed = json.loads(lines[2]) | {"ending": "traceback"}
    log.write_text("\n".join([digest, *lines[:2], json.dumps(failed), *lines[3:]]) + "\n")
    done = run(tmp_path, "--kind", "pictures", "--cases", 8)
    assert done.returncode == 0 and "8 cases" in done.stdout, done.stdout + done.stderr
    again = [json.loads(line)["case"] for line in log.read_text().splitlines()[1:]]
    assert sorted(again[:5]) == [0, 1, 2, 3, 4] and again[5:] == [2, 5, 6, 7]
    log.write_text("\n".join(['{"samples": "other"}', *lines]) + "\n")
    assert "other samples" in run(tmp_path, "--kind", "pictures", "--cases", 8).stderr


def test_damage_is_repeated_by_its_seed():
    data = bytes(range(256)) * 4
    mutants = [damaged(data, random.Random(seed)) for seed in range(300)]
    assert mutants == [damaged(data, random.Random(seed)) for seed in range(300)]
    assert sum(mutant != data for mutant in mutants) > 280
