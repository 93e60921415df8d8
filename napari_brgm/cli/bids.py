"""``napari-brgm bids``: a BIDS App, whose rows are restored as those of a batch.

Source: Gorgolewski et al., "BIDS apps", PLoS Comput. Biol. 13 (2017): app BIDS_DIR OUT LEVEL, labels after spaces.
"""

from __future__ import annotations

import argparse
import json
import re
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

import typer

from napari_brgm.cli.terminal import say, say_note, say_path
from napari_brgm.errors import InputError, OutputError
from napari_brgm.reason import reason_of
from napari_brgm.text import plain_text

if TYPE_CHECKING:
    from napari_brgm.batch.row import BatchRow

__all__ = ["RAW_ARGUMENTS", "bids"]

RAW_ARGUMENTS = {"ignore_unknown_options": True, "allow_extra_args": True, "help_option_names": []}
_FAILED = 1
_DESCRIPTION = "dataset_description.json"
_IGNORED = ("batch*", "*.png", "*.safetensors", "*.csv", ".batch/")  # results that BIDS has no names for
_SUFFIX = re.compile(r"_([A-Za-z0-9]+)$")


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        raise InputError(f"{message}; see napari-brgm bids --help")


def bids(context: typer.Context) -> None:
    """Restore a BIDS dataset (BIDS App): BIDS_DIR OUT participant|group [--participant-label 01 02] [...].

    See bids --help.
    """
    asked, options = _parser().parse_known_args(context.args)
    if asked.level == "group":
        if options:
            raise InputError(f"{plain_text(options[0])} is no option of the group level; leave it out")
        _group(asked.out)
        return
    rows = _rows(asked)
    _participants(context, asked, rows, options)


def _parser() -> _Parser:
    parser = _Parser(
        prog="napari-brgm bids",
        description="Restore scans of a BIDS dataset, each in the folder that it has there. All options that are not "
        "named here are those of the task, as napari-brgm inpaint --help tells.",
        epilog="participant restores, and goes on where it was cut; group makes a table and contact sheets of all that "
        "was restored. Exit code 0: all is done; 1: some scans failed, as the table says; 2: nothing could be begun.",
    )
    parser.add_argument("bids_dir", type=Path, help="dataset in BIDS, not written to")
    parser.add_argument("out", type=Path, help="folder of the derivatives; made if missing")
    parser.add_argument("level", choices=("participant", "group"))
    parser.add_argument("--participant-label", nargs="+", metavar="LABEL", help="with or without sub-; default: all")
    parser.add_argument("--session-label", nargs="+", metavar="LABEL", help="with or without ses-; default: all")
    parser.add_argument("--suffix", default="T1w", help="of the scans (default: T1w)")
    parser.add_argument("--task", choices=("inpaint", "superres", "clean"), default="inpaint")
    parser.add_argument("--masks", type=Path, help="folder of masks (default: the dataset, its derivatives among it)")
    parser.add_argument("--n-cpus", "--n_cpus", type=int, metavar="N", help="processes (default: one a core)")
    parser.add_argument(
        "--skip-bids-validation",
        "--skip_bids_validation",
        action="store_true",
        help="do without a dataset_description.json",
    )
    return parser


def _rows(asked: argparse.Namespace) -> list[BatchRow]:
    """Scans that are asked for, with their masks."""
    from napari_brgm.batch.pairing import entities_of, mask_of, scans_below
    from napari_brgm.batch.row import BatchRow

    root = asked.bids_dir
    if not root.is_dir():
        raise InputError(f"there is no folder {plain_text(root)}; check the path")
    if not asked.skip_bids_validation and not (root / _DESCRIPTION).is_file():
        raise InputError(
            f"{plain_text(root)} has no {_DESCRIPTION} and is no BIDS dataset; add one, or --skip-bids-validation"
        )
    wanted = {
        key: None if labels is None else {label.removeprefix(f"{key}-") for label in labels}
        for key, labels in (("sub", asked.participant_label), ("ses", asked.session_label))
    }
    found = scans_below(root)
    scans = {}
    for name, path in found.items():
        own, suffix = entities_of(name), _SUFFIX.search(name)
        if not name.startswith("sub-") or suffix is None or suffix[1] != asked.suffix:
            continue
        if all(labels is None or own.get(key) in labels for key, labels in wanted.items()):
            scans[name] = path
    there = {entities_of(name)["sub"] for name in scans}
    if missing := sorted((wanted["sub"] or set()) - there):
        raise InputError(f"participant {plain_text(missing[0])} has no {asked.suffix} scan in {plain_text(root)}")
    if not scans:
        of_session = " of these sessions" if wanted["ses"] else ""
        instead = "--session-label" if wanted["ses"] else "--suffix"
        raise InputError(f"{plain_text(root)} has no {asked.suffix} scans{of_session}; name another {instead}")
    if asked.task != "inpaint":
        return [BatchRow(name, path, folder=name.rsplit("/", 1)[0]) for name, path in scans.items()]
    masks = found if asked.masks is None else scans_below(asked.masks)
    rows = []
    for name, path in scans.items():
        mask = mask_of(name, {other: file for other, file in masks.items() if other != name})
        if isinstance(mask, str):
            say_note(f"{name} is left out: {mask}")
        else:
            rows.append(BatchRow(name, path, mask, folder=name.rsplit("/", 1)[0]))
    if not rows:
        raise InputError("no scan has a mask; give a folder of masks with the scans' entities, --masks")
    return rows


def _participants(context: typer.Context, asked: argparse.Namespace, rows: list[BatchRow], options: list[str]) -> None:
    from napari_brgm.batch.processes import told_by_processes
    from napari_brgm.batch.run import BatchPlan, run_batch
    from napari_brgm.cli.batch import checked_options, decisive, processes_for
    from napari_brgm.cli.batch_work import shell_work
    from napari_brgm.cli.progress import batch_bar

    given = checked_options(context, asked.task, options, rows, asked.out)
    count, environments = processes_for(asked.n_cpus, str(given["device"]))
    _describe(asked.out)
    plan = BatchPlan(tuple(rows), asked.task, tuple(options), decisive(str(given["prior"])), asked.out)
    with batch_bar() as tell:
        work = shell_work(asked.task, tuple(options), asked.out)
        state = run_batch(plan, lambda left, shared: told_by_processes(left, work, count, environments, shared), tell)
    failed = [entry for entry in state.entries.values() if entry.state == "failed"]
    for entry in failed:
        say(f"{entry.name} failed: {entry.reason}", err=True)
    say(f"{len(rows) - len(failed)} of {len(rows)} restored", err=True)
    if failed:
        raise typer.Exit(_FAILED)


def _group(out: Path) -> None:
    from napari_brgm.batch.ledger import Ledger
    from napari_brgm.batch.report import write_report

    if not out.is_dir():
        raise InputError(f"there are no results in {plain_text(out)}; run the participant level first")
    entries = Ledger(out).entries()
    if not entries:
        raise InputError(f"there are no results in {plain_text(out)}; run the participant level first")
    for file in write_report(out, entries):
        say_path(file)
    if any(entry.state == "failed" for entry in entries):
        raise typer.Exit(_FAILED)


def _describe(out: Path) -> None:
    """Make the folder of derivatives, with what BIDS asks for in it."""
    from napari_brgm.scans.record import dataset_description

    read_me = (
        "Scans restored by a generative model (napari-brgm). What was masked is synthetic and not for diagnosis; all "
        "other pixels are as they were measured. desc-...Estimate is the restored image, desc-...Variance the "
        "posterior variance of each pixel in its units squared. The JSON beside each says how it came about: prior, "
        "settings, seed, versions. .bidsignore lists sheets, tables and posteriors (.png, .csv, .safetensors).\n"
    )
    about = json.dumps(dataset_description(), indent=2) + "\n"
    texts = {_DESCRIPTION: about, ".bidsignore": "\n".join(_IGNORED) + "\n", "README": read_me}
    try:
        out.mkdir(mode=0o700, parents=True, exist_ok=True)
        for name, text in texts.items():
            with suppress(FileExistsError), (out / name).open("x", encoding="utf-8") as file:
                file.write(text)
                (out / name).chmod(0o600)
    except OSError as error:
        raise OutputError(f"cannot write into {plain_text(out)}: {reason_of(error)}; choose another folder") from error
