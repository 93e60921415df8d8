"""Peaks of memory, in processes of their own."""

from __future__ import annotations

from dataclasses import asdict

import numpy as np
import pytest

from napari_brgm.errors import BrgmError
from napari_brgm.evaluation.benchmark_table import show
from napari_brgm.evaluation.memory import memory_rows, strokes


def test_a_row_is_of_a_process_of_its_own_and_is_shown(capsys):
    said = []
    rows = memory_rows("brain-axial-128", 2, 0, "cpu", said.append, {"mask": (160,), "x4": (32,)})
    assert [(row.task, row.side) for row in rows] == [("mask", 160), ("x4", 32)]
    assert all(0.02 < row.peak < 2 and row.busy > 0 for row in rows)
    assert all(0.8 * row.peak < row.need < 4 * row.peak for row in rows)
    assert len(said) == 2
    machine = {"processor": "p", "cores": 2, "threads": 2, "torch": "t"}
    show({"machine": machine, "prior": "p", "samples": 2, "memory": [asdict(row) for row in rows]})
    assert "128" in capsys.readouterr().out


def test_what_fails_there_is_said_here():
    with pytest.raises(BrgmError, match=r"mask at 64 pixels: .*no-such-prior"):
        memory_rows("no-such-prior", 2, 0, "cpu", None, {"mask": (64,)})


def test_strokes_hide_a_few_per_cent():
    for side in (64, 512):
        share = np.mean(strokes(side))
        assert 0.01 < share < 0.05
