"""``napari-brgm batch``: thin over the batch room; rows are restored by the shell's own commands."""

from __future__ import annotations

import json
import os
import sys
import time
from contextlib import nullcontext
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from napari_brgm.cli import options
from napari_brgm.cli.progress import batch_bar
from napari_brgm.cli.tasks import TASKS
from napari_brgm.cli.terminal import say, say_note, say_path
from napari_brgm.cli.where import is_address
from napari_brgm.errors import InputError
from napari_brgm.text import plain_text

if TYPE_CHECKING:
    from napari_brgm.batch.ledger import Entry
    from napari_brgm.batch.row import BatchRow
    from napari_brgm.batch.run import BatchState

__all__ = ["OPTIONS_OF_TASKS", "batch", "checked_options", "decisive", "processes_for"]

OPTIONS_OF_TASKS = {"ignore_unknown_options": True, "allow_interspersed_args": False}  # they belong to the task
_PROCESS = 2 << 30  # bytes that a process takes, about
_FAILED = 1
_SHOWN = 20  # reasons on the terminal


def batch(
    context: typer.Context,
    task: Annotated[
        list[str],
        typer.Argument(metavar="TASK [OPTIONS]", help="inpaint, superres or clean, with its own options, last."),
    ],
    out: options.Out,
    scans: Annotated[Path | None, typer.Option(help="Folder of scans, and folders in it.", show_default=False)] = None,
    masks: Annotated[
        Path | None,
        typer.Option(
            help="Folder of masks: each has its scan's name, with or without _mask, or its BIDS entities; may be that "
            "of the scans.",
            show_default=False,
        ),
    ] = None,
    job: Annotated[
        Path | None,
        typer.Option(
            help="Instead: CSV or YAML file of rows, each with scan, mask, name, and options of the task for it alone.",
            show_default=False,
        ),
    ] = None,
    processes: Annotated[
        int | None,
        typer.Option(
            help="Each restores by itself, on one core or one GPU.", min=1, show_default="as many as there are of these"
        ),
    ] = None,
    shard: Annotated[
        str | None,
        typer.Option(help="Only part i of n of the rows, such as 2/8: for a scheduler's arrays.", show_default=False),
    ] = None,
    scheduler: Annotated[
        str | None,
        typer.Option(
            help="Address of a dask scheduler, such as tcp://head:8786, whose workers see scans and results under the "
            "same paths.",
            show_default=False,
        ),
    ] = None,
    pseudonyms: Annotated[
        Path | None,
        typer.Option(
            help="File of a key: in all that is written and said names of scans are replaced by ones that are made of "
            "them with it. A new key where there is no such file.",
            show_default=False,
        ),
    ] = None,
    json_lines: Annotated[bool, typer.Option("--json", help="Progress as lines of JSON on stdout.")] = False,
) -> None:
    """Restore many scans, each as inpaint, superres or clean would, into a folder of its own.

    Slices are on disk before they are counted: a batch that was stopped, killed or cut off goes on when the command is
    given again, does only what is missing, and gives the same results. A scan that cannot be restored stops nobody; its
    reason is told at the end, stands in batch.csv, and the command ends with 1. batch-001.png and so on show what was
    restored.
    """
    from napari_brgm.batch.cluster import told_by_cluster
    from napari_brgm.batch.processes import told_by_processes
    from napari_brgm.batch.report import write_report
    from napari_brgm.batch.run import BatchPlan, run_batch
    from napari_brgm.cli.batch_work import shell_work

    name, *common = task
    if name not in TASKS:
        raise InputError(
            f"{plain_text(name)!r} is no task; choose inpaint, superres or clean, after the batch's options"
        )
    rows, unpaired = _rows(scans, masks, job, name)
    if pseudonyms is not None:
        rows, unpaired = _renamed(rows, unpaired, pseudonyms)
    given = checked_options(context, name, common, rows, out)
    rows = _part(rows, shard)
    if scheduler is not None and is_address(str(given["device"])):
        raise InputError(
            "rows go to workers by their paths with --scheduler, or their slices by value with --device; leave one out"
        )
    if scheduler is not None and processes is not None:
        raise InputError("--processes are of this machine, and workers are as many as the scheduler has; leave one out")
    prior = str(given["prior"])
    out = out.absolute()
    rows = [row.absolute() for row in rows]
    work = shell_work(name, tuple(common), out)
    if scheduler is None:
        count, environments = processes_for(processes, str(given["device"]))
        worked_on = partial(told_by_processes, work=work, count=count, environments=environments)
    else:
        worked_on = partial(told_by_cluster, work=work, address=scheduler, same=partial(decisive, prior))
    plan = BatchPlan(tuple(rows), name, tuple(common), decisive(prior), out)
    for what, why in unpaired:
        say_note(f"{what} is left out: {why}")
    with nullcontext(_Lines()) if json_lines else batch_bar() as tell:
        state = run_batch(plan, lambda left, shared: worked_on(left, shared=shared), tell)
    entries = [state.entries[row.name] for row in plan.rows]
    files = write_report(out, entries) if shard is None else []
    failed = [entry for entry in entries if entry.state == "failed"]
    for entry in failed[:_SHOWN]:
        say(f"{entry.name} failed: {entry.reason}", err=True)
    more = f", {len(failed) - _SHOWN} more reasons in {files[0].name}" if len(failed) > _SHOWN and files else ""
    said = f"{len(entries) - len(failed)} of {len(entries)} restored{f', {len(failed)} failed' if failed else ''}{more}"
    say(said, err=True)
    if not json_lines:
        for file in files:
            say_path(file)
    if failed:
        raise typer.Exit(_FAILED)


def _rows(
    scans: Path | None, masks: Path | None, job: Path | None, task: str
) -> tuple[list[BatchRow], tuple[tuple[str, str], ...]]:
    """The rows, and what is left out and why."""
    from napari_brgm.batch.job_file import read_job
    from napari_brgm.batch.pairing import paired

    if (scans is None) == (job is None):
        raise InputError("say what is to be restored: give either --scans, or --job")
    if job is not None:
        if masks is not None:
            raise InputError("--masks goes with --scans; a job file names the mask of each scan")
        return list(read_job(job)), ()
    assert scans is not None
    if task == "inpaint" and masks is None:
        raise InputError("say what is missing: give the folder of --masks, which may be that of the scans")
    if task != "inpaint" and masks is not None:
        raise InputError(f"{task} takes no masks; leave --masks out")
    found = paired(scans, masks)
    return list(found.rows), found.unpaired


def _renamed(
    rows: list[BatchRow], unpaired: tuple[tuple[str, str], ...], file: Path
) -> tuple[list[BatchRow], tuple[tuple[str, str], ...]]:  # fmt: skip
    """The same under pseudonyms that a key makes of their names; those that a job file gives stay."""
    from napari_brgm.cli.pseudonym import key_in, under_key

    key = key_in(file)
    names = [row.pseudonym or under_key(row.name, key) for row in rows]
    hidden = [
        replace(row, name=name if row.pseudonym is None else row.name, pseudonym=name)
        for row, name in zip(rows, names, strict=True)
    ]
    return hidden, tuple(
        (under_key(what, key), "a scan and a mask do not fit each other one to one") for what, _ in unpaired
    )


def checked_options(
    context: typer.Context, task: str, common: list[str], rows: list[BatchRow], out: Path
) -> dict[str, Any]:
    """Options of the task as they will be read; refuses those that it does not have, before anything is done."""
    root: Any = context.find_root().command
    command, given = root.commands[task], {}
    for row in {row.options: row for row in rows}.values():
        arguments = row.arguments(task, common, out)[1:]
        given = command.make_context(task, arguments, parent=context).params
        if given.get("save_video"):
            raise InputError("--save-video shows one slice; leave it out of a batch")
    return given


def _part(rows: list[BatchRow], shard: str | None) -> list[BatchRow]:
    """Every n-th row, from the i-th on."""
    if shard is None:
        return rows
    try:
        i, n = (int(number) for number in shard.split("/"))
    except ValueError:
        i = n = 0
    if not 1 <= i <= n:
        raise InputError(f"--shard is a part of so many, such as 2/8; got {plain_text(shard)!r}")
    return rows[i - 1 :: n]


def processes_for(wanted: int | None, device: str) -> tuple[int, list[dict[str, str]]]:
    """How many there are, and the variables of each: one thread, so that results do not depend on their number."""
    import torch

    from napari_brgm.engine.devices import pick_device
    from napari_brgm.engine.need import free_memory

    plain = {"OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
    if not is_address(device) and pick_device(device).type == "cuda" and ":" not in device:
        each = [plain | {"CUDA_VISIBLE_DEVICES": str(number)} for number in range(torch.cuda.device_count())]
        return wanted or len(each), each
    affinity = getattr(os, "sched_getaffinity", None)
    count = wanted or (len(affinity(0)) if affinity else os.cpu_count() or 1)
    fit = max(int(free_memory() // _PROCESS), 1)
    if fit < count:
        say_note(f"there is memory for {fit} processes of {_PROCESS >> 30} GB, not for {count}")
    return min(count, fit), [plain]


def decisive(prior: str) -> list[Any]:
    """What decides results beside files and options, as JSON can hold it."""
    from napari_brgm.scans.fingerprint import stamp_of
    from napari_brgm.scans.record import version
    from napari_brgm.zoo.registry import entry_of

    entry = entry_of(prior)
    return [version(), prior, stamp_of(Path(prior)) if entry is None else entry.sha256]


class _Lines:
    """Progress as lines of JSON: first the plan, then each row as it ends, and about once a second how far all is."""

    def __init__(self) -> None:
        self._said = 0.0

    def __call__(self, state: BatchState, entry: Entry | None) -> None:
        if not self._said:
            self._say({"plan": [_line(state.entries.get(name), name) for name in state.names]})
        if entry is not None:
            self._say(_line(entry, entry.name))
        if time.monotonic() - self._said >= 1 or entry is not None:
            self._said = time.monotonic()
            left = state.left
            self._say(
                {
                    "rows": state.total, "ended": len(state.entries), "share": round(state.share, 4),
                    "seconds_left": None if left is None else round(left),
                    "at_work": {name: round(share, 3) for name, share in state.shares.items()},
                }
            )  # fmt: skip

    @staticmethod
    def _say(line: dict[str, Any]) -> None:
        say(json.dumps(line))
        sys.stdout.flush()


def _line(entry: Entry | None, name: str) -> dict[str, Any]:
    """What is said of a row; of one that is not done yet (None) that it waits."""
    if entry is None:
        return {"row": name, "state": "waiting"}
    line = {"row": name, "state": entry.state, "seconds": round(entry.seconds, 2)}
    return line | ({"reason": entry.reason} if entry.reason else {})
