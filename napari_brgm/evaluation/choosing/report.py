"""Report of a study: shares by method and task with intervals, times, agreement of readers; rows as CSV.

Intervals are Wilson's at 95 %, with as many trials as there are subjects (cases, where no subject is known): answers of
several readers, or on slices of one subject, share their fate.
Source: Wilson (1927), https://doi.org/10.1080/01621459.1927.10502953.
"""

from __future__ import annotations

import csv
import itertools
import math
from dataclasses import asdict, dataclass, fields
from typing import TYPE_CHECKING

import numpy as np
from scipy.stats import norm

from napari_brgm.errors import InputError
from napari_brgm.evaluation.choosing.answers import Answers, readers_of
from napari_brgm.evaluation.choosing.kappa import kappa_with_interval
from napari_brgm.evaluation.choosing.study import TRUTH

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from rich.table import Table

    from napari_brgm.evaluation.choosing.study import ChoiceStudy, QuestionKind

__all__ = ["ChoiceReport", "ChoiceRow", "MethodShare", "wilson"]

_ALL = "all"
_HEADS = {
    "nearest": ("method", "task", "questions", "subjects", "chosen", "95 %", "chance", "median s"),
    "real": ("method", "task", "questions", "subjects", "taken for the truth", "95 %", "chance", "median s"),
}
_TITLES = {"nearest": "Which is nearest to the truth?", "real": "Which is real?"}


@dataclass(frozen=True, slots=True)
class ChoiceRow:
    """One answer, in the words of the study.

    Attributes
    ----------
    kind, reader, case, task, subject : str
    shown : str
        Candidates by their places, with commas between.
    chosen : str
    seconds : float
    """

    kind: str
    reader: str
    case: str
    task: str
    subject: str
    shown: str
    chosen: str
    seconds: float

    @property
    def candidates(self) -> tuple[str, ...]:
        return tuple(self.shown.split(","))

    @property
    def group(self) -> str:
        """What counts as one trial."""
        return f"subject {self.subject}" if self.subject else f"case {self.case}"


@dataclass(frozen=True, slots=True)
class MethodShare:
    """How often a method was chosen where it was shown.

    Attributes
    ----------
    method, task : str
        'all' for all of them.
    questions, subjects : int
    share, low, high, chance : float
        Between 0 and 1; low and high: of the 95 % interval.
    seconds : float
        Median time of the answers that chose it (for 'real': of all that it was shown in); nan: none.
    """

    method: str
    task: str
    questions: int
    subjects: int
    share: float
    low: float
    high: float
    chance: float
    seconds: float

    def cells(self) -> tuple[str, ...]:
        """As a table shows them."""
        time = "" if math.isnan(self.seconds) else f"{self.seconds:.1f}"
        return (
            self.method, self.task, str(self.questions), str(self.subjects), f"{self.share:.0%}",
            f"{self.low:.0%} to {self.high:.0%}", f"{self.chance:.0%}", time,
        )  # fmt: skip


def wilson(share: float, trials: float, level: float = 0.95) -> tuple[float, float]:
    """Interval of a probability of which ``share`` of ``trials`` was seen.

    Examples
    --------
    >>> tuple(round(end, 3) for end in wilson(0.5, 10))
    (0.237, 0.763)
    """
    z = float(norm.ppf(0.5 + level / 2))
    middle = (share + z**2 / (2 * trials)) / (1 + z**2 / trials)
    half = z / (1 + z**2 / trials) * math.sqrt(share * (1 - share) / trials + z**2 / (4 * trials**2))
    return max(middle - half, 0.0), min(middle + half, 1.0)


class ChoiceReport:
    """What the readers of a study chose.

    Parameters
    ----------
    study : ChoiceStudy

    Raises
    ------
    InputError
        Nobody has answered anything, or a file of answers holds something else.
    """

    def __init__(self, study: ChoiceStudy) -> None:
        self.seed = study.seed
        self.rows = [row for kind, reader in readers_of(study.folder) for row in _rows_of(study, kind, reader)]
        if not self.rows:
            raise InputError(f"nobody has answered a question in {study.folder}; run evaluate choose --reader NAME")
        self.left = {
            (kind, reader): len(study.cases) - sum((row.kind, row.reader) == (kind, reader) for row in self.rows)
            for kind, reader in readers_of(study.folder)
        }

    def shares(self, kind: QuestionKind) -> list[MethodShare]:
        """Of each method, over all tasks and over each; of 'real' also of all methods together."""
        rows = [row for row in self.rows if row.kind == kind]
        methods = sorted({name for row in rows for name in row.candidates if name != TRUTH})
        tasks = sorted({row.task for row in rows})
        found = []
        for method, task in itertools.product(methods, (_ALL, *(tasks if len(tasks) > 1 else ()))):
            shown = [row for row in rows if method in row.candidates and task in (_ALL, row.task)]
            if shown:
                found.append(_share(method, task, shown, [row for row in shown if row.chosen == method], kind))
        if kind == "real" and rows:
            found.insert(0, _share("all", _ALL, rows, [row for row in rows if row.chosen != TRUTH], kind))
        return found

    def agreement(self, kind: QuestionKind) -> str:
        """Kappa of the readers on what all of them answered, in a sentence; '' for one reader."""
        readers = sorted({row.reader for row in self.rows if row.kind == kind})
        if len(readers) < 2:
            return ""
        chosen = {(row.case, row.reader): row for row in self.rows if row.kind == kind}
        cases = sorted({case for case, _ in chosen})
        common = [case for case in cases if all((case, reader) in chosen for reader in readers)]
        if len(common) < 2:
            return f"{len(readers)} readers have fewer than two questions in common: no agreement to speak of."
        answers = np.array([[chosen[case, reader].chosen for reader in readers] for case in common])
        codes = np.unique(answers, return_inverse=True)[1].reshape(answers.shape)
        groups = np.unique([chosen[case, readers[0]].group for case in common], return_inverse=True)[1]
        kappa, low, high = kappa_with_interval(codes, groups, self.seed)
        same = float((codes == codes[:, :1]).all(axis=1).mean())
        whose = "Cohen's" if len(readers) == 2 else "Fleiss's"
        told = "undefined, as all answers are one" if math.isnan(kappa) else f"{kappa:.2f} ({low:.2f} to {high:.2f})"
        return (
            f"{len(readers)} readers agree on {same:.0%} of {len(common)} questions; {whose} kappa {told}, interval by "
            "resampling of subjects."
        )

    def markdown(self) -> str:
        """Tables and sentences."""
        lines = ["# What people chose", ""]
        for kind in _kinds(self.rows):
            heads = _HEADS[kind]
            lines += [f"## {_TITLES[kind]}", "", f"| {' | '.join(heads)} |", "|" + "---|" * len(heads)]
            lines += [f"| {' | '.join(share.cells())} |" for share in self.shares(kind)]
            lines += ["", *(text for text in (self.agreement(kind),) if text)]
            for (of, reader), left in self.left.items():
                if of == kind and left:
                    lines.append(f"{reader} has {left} questions left.")
            lines.append("")
        lines += [
            "Intervals: Wilson, 95 %, with as many trials as subjects. Chance: all candidates alike. Time: median of "
            "the answers that chose the method; of 'real' of all in which it was shown.", "",
        ]  # fmt: skip
        return "\n".join(lines)

    def tables(self) -> list[Table]:
        """The same for a terminal."""
        from rich.table import Table

        found = []
        for kind in _kinds(self.rows):
            table = Table(title=_TITLES[kind])
            for number, head in enumerate(_HEADS[kind]):
                table.add_column(head, justify="left" if number < 2 else "right")
            for share in self.shares(kind):
                table.add_row(*share.cells())
            table.caption = self.agreement(kind) or None
            found.append(table)
        return found

    def write(self, folder: Path) -> None:
        """Write choices.md and choices.csv."""
        (folder / "choices.md").write_text(self.markdown(), "utf-8")
        with (folder / "choices.csv").open("w", newline="", encoding="utf-8") as stream:
            table = csv.DictWriter(stream, [field.name for field in fields(ChoiceRow)])
            table.writeheader()
            table.writerows(asdict(row) for row in self.rows)


def _rows_of(study: ChoiceStudy, kind: QuestionKind, reader: str) -> list[ChoiceRow]:
    given, rows = Answers(study.folder, kind, reader), []
    for question in study.questions(kind, reader):
        answer = given.given.get(question.case)
        if answer is None:
            continue
        if not 0 <= answer.place < len(question.shown):
            raise InputError(f"{given.path.name} chooses what was not shown; put the file right")
        case = study.cases[question.case]
        shown = ",".join(question.shown)
        chosen = question.shown[answer.place]
        rows.append(ChoiceRow(kind, reader, case.name, case.task, case.subject, shown, chosen, answer.seconds))
    return rows


def _share(
    method: str, task: str, shown: Sequence[ChoiceRow], chosen: Sequence[ChoiceRow], kind: QuestionKind
) -> MethodShare:  # fmt: skip
    share, subjects = len(chosen) / len(shown), len({row.group for row in shown})
    low, high = wilson(share, subjects)
    timed = shown if kind == "real" else chosen
    return MethodShare(
        method, task, len(shown), subjects, share, low, high,
        float(np.mean([1 / len(row.candidates) for row in shown])),
        float(np.median([row.seconds for row in timed])) if timed else float("nan"),
    )  # fmt: skip


def _kinds(rows: Sequence[ChoiceRow]) -> list[QuestionKind]:
    return [kind for kind in ("nearest", "real") if any(row.kind == kind for row in rows)]
