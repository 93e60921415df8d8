"""run_batch(): rows that are not done yet, worked on elsewhere; what became of each is on disk as it is known."""

from __future__ import annotations

import shutil
import time
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from napari_brgm.batch.ledger import Entry, Ledger, sizes_of
from napari_brgm.batch.row import check_names
from napari_brgm.errors import OutputError
from napari_brgm.scans.fingerprint import files_below
from napari_brgm.text import plain_text

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path

    from napari_brgm.batch.outcome import RowOutcome
    from napari_brgm.batch.processes import RowNews
    from napari_brgm.batch.row import BatchRow

__all__ = ["BatchPlan", "BatchState", "run_batch"]

_TIMES = 2  # a result takes the scan's size as often, at least: the image and its variance
_ALMOST = 0.99  # of a row whose last slice is done: its results are written then
_TOLD = 0.02  # rows, from which on the time that is left is told
_SPARE = 1 << 26  # bytes that are left on the disk


@dataclass(frozen=True, slots=True)
class BatchPlan:
    """What is to be done.

    Attributes
    ----------
    rows : tuple of BatchRow
    task : str
        Command of the shell: 'inpaint', 'superres' or 'clean'.
    common : tuple of str
        Its options for all rows.
    decisive : object
        What else decides results, as JSON can hold it: versions, the prior's hash.
    out : Path
    """

    rows: tuple[BatchRow, ...]
    task: str
    common: tuple[str, ...]
    decisive: Any
    out: Path


@dataclass(slots=True)
class BatchState:
    """How far a batch is.

    Attributes
    ----------
    names : tuple of str
        Of all rows, in order.
    entries : dict of str to Entry
        Of rows that are done or failed, by their names.
    before : int
        Rows that were done when it began.
    shares : dict of str to float
        How much of the rows at work is done.
    slices : dict of str to int
        How many slices those have.
    began : float
        ``time.monotonic``.
    """

    names: tuple[str, ...]
    entries: dict[str, Entry] = field(default_factory=dict)
    before: int = 0
    shares: dict[str, float] = field(default_factory=dict)
    slices: dict[str, int] = field(default_factory=dict)
    began: float = field(default_factory=time.monotonic)

    @property
    def total(self) -> int:
        """Rows."""
        return len(self.names)

    @property
    def share(self) -> float:
        """Done of all rows, 0 .. 1."""
        under_way = sum(min(share, _ALMOST) for share in self.shares.values())
        return (len(self.entries) + under_way) / max(self.total, 1)

    @property
    def left(self) -> float | None:
        """Seconds that are left, as far as what was done since it began tells; None: nothing was."""
        done = len(self.entries) - self.before + sum(self.shares.values())
        remaining = self.total - self.before - done
        return None if done < _TOLD else (time.monotonic() - self.began) * remaining / done


def run_batch(
    plan: BatchPlan, worked_on: Callable[[Sequence[BatchRow], Callable[[Any], bool]], Iterator[RowNews]],
    tell: Callable[[BatchState, Entry | None], None],
) -> BatchState:  # fmt: skip
    """Work on what is not done yet.

    Parameters
    ----------
    plan : BatchPlan
    worked_on : callable
        Gets the rows that are left, and what says whether others are at work on the rest of a row; gives what is told
        of them, with an ``RowOutcome`` at their end: ``told_by_processes`` or ``told_by_cluster``.
    tell : callable
        Gets the state as it changes, and the entry of a row that has just ended.

    Raises
    ------
    InputError
        Two rows have one name.
    OutputError
        The folder cannot be written to, or the disk is too small.
    """
    check_names(plan.rows)
    ledger, state = Ledger(plan.out), BatchState(tuple(row.name for row in plan.rows))
    stamps = {row.name: row.stamp(plan.task, plan.common, plan.decisive) for row in plan.rows}
    left = []
    for row in plan.rows:
        known = ledger.entry(row)
        same = (
            known is not None and known.state == "done" and stamps[row.name] != "" and known.stamp == stamps[row.name]
        )
        if known is not None and same and known.is_there(plan.out):
            state.entries[row.name] = known
        elif same:  # what is left of its results is replaced
            left.append(replace(row, options=(*row.options, "--overwrite")))
        elif not stamps[row.name]:
            state.entries[row.name] = Entry(row.name, "failed", "", f"there is no {row.missing}")
        else:
            left.append(row)
    state.before = len(state.entries)
    _check_disk(plan.out, left)
    tell(state, None)
    if not left:
        return state
    for told in worked_on(left, _is_shared):
        name, entry = told.row.name, None
        if told.outcome is None and not told.killed:
            state.shares[name], state.slices[name] = max(told.share, state.shares.get(name, 0.0)), told.slices
        else:
            state.shares.pop(name, None)
            entry = _entry(told.outcome, told.killed, name, stamps[name], plan.out)
            known = ledger.entry(told.row)
            if entry.state == "done" or known is None or known.state != "done" or not known.is_there(plan.out):
                ledger.write(told.row, entry)  # else: results with other options stand there
            state.entries[name] = entry
        tell(state, entry)
    return state


def _entry(outcome: RowOutcome | None, killed: int, name: str, stamp: str, out: Path) -> Entry:
    if outcome is None:
        reason = f"its process was ended from outside {killed} times, for want of memory perhaps; try fewer --processes"
        return Entry(name, "failed", stamp, reason)
    if outcome.reason:
        return Entry(name, "failed", stamp, outcome.reason, notes=outcome.notes, seconds=outcome.seconds)
    folder = str(out)
    files = tuple(file.removeprefix(folder).lstrip("/\\") for file in outcome.files)
    return Entry(
        name, "done", stamp, files=files, notes=outcome.notes, seconds=outcome.seconds, sizes=sizes_of(out, files)
    )  # fmt: skip


def _is_shared(outcome: RowOutcome) -> bool:
    return outcome.shared


def _check_disk(out: Path, rows: Sequence[BatchRow]) -> None:
    """Refuse what certainly does not fit; OutputError."""
    least = _TIMES * sum(file.stat().st_size for row in rows for file in files_below(row.scan)) + _SPARE
    free = shutil.disk_usage(out).free
    if least > free:
        raise OutputError(
            f"results take at least {least / 1e9:.1f} GB and {plain_text(out)} has {free / 1e9:.1f} GB left; "
            "choose an --out folder on a larger disk, or part the job with --shard"
        )
