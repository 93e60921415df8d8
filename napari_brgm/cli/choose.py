"""``evaluate choose``: people choose, in a window that is a process of its own; thin over ``evaluation/choosing``."""

from __future__ import annotations

import hashlib
import subprocess
import sys
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from napari_brgm.cli import options
from napari_brgm.cli.options import data_folder, names
from napari_brgm.cli.terminal import say, say_path
from napari_brgm.errors import InputError

if TYPE_CHECKING:
    from napari_brgm.evaluation.choosing.report import ChoiceReport

__all__ = ["choose"]

_WINDOW = "napari_brgm.plugin.choosing"
_MADE, _SAMPLES = "made", 4  # samples, as few as give a fair one
_CASES, _DIGITS = 40, 12


class QuestionName(StrEnum):
    """Kinds of questions, as the shell spells them."""

    nearest = "nearest"
    real = "real"


def choose(
    out: options.Out,
    reader: Annotated[
        str | None,
        typer.Option(help="Pseudonym of the person who chooses, such as reader-1: no name.", show_default=False),
    ] = None,
    kind: Annotated[
        QuestionName,
        typer.Option(help="nearest: which is nearest to the truth? real: truth or restoration, which is real?"),
    ] = QuestionName.nearest,
    source: Annotated[
        Path | None,
        typer.Option(
            "--from", help="Folder of cases that are there, NAME.npz; default: made from --data.", show_default=False
        ),
    ] = None,
    data: options.Data = None,
    cases: Annotated[
        int | None, typer.Option(min=1, help="Questions.", show_default="40, or as many as --from has")
    ] = None,
    tasks: Annotated[
        str, typer.Option(help="Of cases that are made here, in turn: mask-0 .. mask-6, strokes, x2, x4, x8.")
    ] = "mask-0,mask-3,mask-5,x4",
    prior: options.PriorName = options.DEFAULT_PRIOR,
    seed: Annotated[int | None, typer.Option(min=0, help="Of cases, orders and places.", show_default="0")] = None,
    device: options.Device = "auto",
    report: Annotated[bool, typer.Option("--report", help="Report what was chosen so far, and ask nothing.")] = False,
) -> None:
    """People choose the restoration nearest to the truth, or say which image is real, blinded, in napari.

    Keys 1 to 9 choose, Enter or Space goes on, Backspace back, P pauses, O outlines what was not measured. Every answer
    is kept at once; the same command goes on where it was. A second reader gives the same --out and another name.
    Writes choices.md and choices.csv when a reader is through, or with --report. Until then no method is named.
    """
    from napari_brgm.evaluation.choosing.answers import Answers
    from napari_brgm.evaluation.choosing.report import ChoiceReport
    from napari_brgm.evaluation.choosing.study import KINDS, ChoiceStudy, checked_reader

    if report:
        _tell(ChoiceReport(ChoiceStudy(out)), out)
        return
    if reader is None:
        raise InputError("--reader is missing; choose a pseudonym such as reader-1")
    checked_reader(reader)
    if not ChoiceStudy.there(out):
        _begin(out, source, data, cases, names(tasks), prior, seed or 0, device)
    study = ChoiceStudy(out)
    if any(given not in (None, own) for given, own in ((cases, len(study.cases)), (seed, study.seed))):
        raise InputError(
            f"{out} holds a study of {len(study.cases)} cases with seed {study.seed}; leave out --cases and --seed, "
            "or choose another --out"
        )
    code = subprocess.run([sys.executable, "-m", _WINDOW, str(out), kind.value, reader], check=False).returncode
    if code:
        raise InputError("the window could not be opened; it needs a display, and pip install 'napari-brgm[gui]'")
    asked = next(one for one in KINDS if one == kind.value)
    left = len(study.cases) - len(Answers(out, asked, reader).given)
    if left:
        say(f"{left} of {len(study.cases)} questions are left; give the command again to go on")
        return
    _tell(ChoiceReport(study), out)


def _begin(
    out: Path, source: Path | None, data: Path | None, cases: int | None, tasks: tuple[str, ...], prior: str, seed: int,
    device: str,
) -> None:  # fmt: skip
    from napari_brgm.evaluation.choosing.cases import case_files
    from napari_brgm.evaluation.choosing.study import ChoiceStudy

    if source is not None:
        ChoiceStudy.begin(out, source, len(case_files(source)) if cases is None else cases, seed)
        return
    from napari_brgm.cli.progress import count_bar
    from napari_brgm.cli.target import ShellOutputs
    from napari_brgm.evaluation.choosing.make import make_cases
    from napari_brgm.evaluation.grid.catalogue import Setting
    from napari_brgm.evaluation.held_out import set_of
    from napari_brgm.zoo.registry import load_prior

    loaded, count = load_prior(prior), _CASES if cases is None else cases
    made_of = f"{loaded.info.weights_sha256} {tasks} {count} {seed}"
    made = (
        out / _MADE / hashlib.sha256(made_of.encode()).hexdigest()[:_DIGITS]
    )  # what was made of others is not mixed in
    with ShellOutputs(out, (), overwrite=True), count_bar() as tell:
        setting = Setting(
            set_of(loaded), data_folder(data), out, loaded, samples=_SAMPLES, seed=seed, device=device
        )  # fmt: skip
        make_cases(made, setting, tasks, count, tell)
    ChoiceStudy.begin(out, made, count, seed)


def _tell(report: ChoiceReport, out: Path) -> None:
    from rich.console import Console

    report.write(out)
    console = Console()
    for table in report.tables():
        console.print(table)
    say_path(out / "choices.md")
