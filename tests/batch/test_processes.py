"""Processes of a batch: killed ones cost only what they worked on, and idle ones help."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING

import batch_works
import psutil
import pytest

from napari_brgm.batch.processes import told_by_processes
from napari_brgm.batch.row import BatchRow

if TYPE_CHECKING:
    from pathlib import Path


def rows(tmp_path: Path, names: str = "abc") -> list[BatchRow]:
    return [BatchRow(name, tmp_path / name) for name in names]


def told(of, work, count: int = 2):
    return list(told_by_processes(of, work, count, [{"OMP_NUM_THREADS": "1"}], lambda outcome: outcome.shared))


def outcomes(told_of) -> dict[str, object]:
    return {one.row.name: one.outcome for one in told_of if one.outcome is not None}


def test_all_rows_are_worked_on_and_told(tmp_path):
    found = told(rows(tmp_path, "abcdef"), batch_works.plain)
    assert sorted(outcomes(found)) == list("abcdef")
    assert all(outcome.notes[0].endswith("with 1") for outcome in outcomes(found).values())
    assert {(one.share, one.slices) for one in found} == {(0.5, 4), (1.0, 4)}


def test_a_killed_process_costs_only_its_row_which_another_does(tmp_path):
    found = told(rows(tmp_path), batch_works.killed_once)
    assert sorted(outcomes(found)) == list("abc")
    assert not any(one.killed for one in found)


def test_a_row_whose_processes_are_always_killed_is_given_up(tmp_path):
    found = told(rows(tmp_path), batch_works.killed_always)
    assert sorted(outcomes(found)) == list("ac")
    (given_up,) = [one for one in found if one.killed]
    assert given_up.row.name == "b" and given_up.killed == len((tmp_path / "tries").read_text())
    assert 3 <= given_up.killed <= 4  # one may have helped before the first was killed


def test_idle_processes_help_with_the_last_row(tmp_path):
    (tmp_path / "a").mkdir()
    found = told(rows(tmp_path, "a"), batch_works.in_parts)
    assert list(outcomes(found)) == ["a"] and sum(one.outcome is not None for one in found) == 1
    by = {(tmp_path / "a" / f"{part}.done").read_text() for part in range(batch_works.PARTS)}
    assert len(by) == 2


def test_processes_end_with_whoever_looks_at_them(tmp_path):
    """An exception in the middle leaves no process behind."""
    before = {child.pid for child in psutil.Process().children(recursive=True)}
    with pytest.raises(RuntimeError, match="enough"):
        for _ in told_by_processes(rows(tmp_path), batch_works.plain, 2, [{}], lambda outcome: outcome.shared):
            raise RuntimeError("enough")
    for child in psutil.Process().children(recursive=True):
        if child.pid not in before and "spawn_main" in " ".join(_line(child)):
            child.wait(10)


def _line(process: psutil.Process) -> list[str]:
    with suppress(psutil.Error):
        return process.cmdline()
    return []
