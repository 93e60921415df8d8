"""Answers of a reader: a line of JSON each, on disk before the next question is shown; the last one of a case counts.

Places are kept, not methods: a file that is opened tells the reader nothing. The report joins them again.
"""

from __future__ import annotations

import json
import os
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING

from napari_brgm.errors import InputError, OutputError
from napari_brgm.evaluation.choosing.study import KINDS, QuestionKind
from napari_brgm.reason import advice_of, reason_of

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["Answers", "GivenAnswer", "readers_of"]

_PREFIX = "answers"


@dataclass(frozen=True, slots=True)
class GivenAnswer:
    """What was chosen of one case.

    Attributes
    ----------
    case : str
    place : int
        From 0, in the reader's own order of the candidates.
    seconds : float
        That the question was on show until it was answered, pauses left out.
    """

    case: str
    place: int
    seconds: float


class Answers:
    """Read and add answers of one reader to one kind of question.

    Parameters
    ----------
    folder : Path
        Of the study.
    kind : 'nearest' or 'real'
    reader : str

    Raises
    ------
    InputError
        The file holds something else.
    """

    def __init__(self, folder: Path, kind: QuestionKind, reader: str) -> None:
        self.path = folder / f"{_PREFIX}-{kind}-{reader}.jsonl"
        self.given: dict[str, GivenAnswer] = {}  # by case
        data = self.path.read_bytes() if self.path.is_file() else b""
        self._whole = data.rfind(b"\n") + 1  # bytes; behind them is what was being written when the machine went down
        for number, line in enumerate(data[: self._whole].splitlines(), 1):
            try:
                entry = json.loads(line)
                answer = GivenAnswer(str(entry["case"]), int(entry["place"]), float(entry["seconds"]))
            except (ValueError, KeyError, TypeError) as error:
                raise InputError(f"line {number} of {self.path.name} is no answer; put the file right") from error
            self.given[answer.case] = answer

    def add(self, answer: GivenAnswer) -> None:
        """Keep an answer, on disk.

        Raises
        ------
        OutputError
            The file cannot be written.
        """
        line = json.dumps(asdict(answer)).encode() + b"\n"
        try:
            with self.path.open("r+b" if self.path.exists() else "w+b") as stream:
                stream.truncate(self._whole)
                stream.seek(self._whole)
                stream.write(line)
                stream.flush()
                os.fsync(stream.fileno())
        except OSError as error:
            advice = advice_of(error, "make the folder writable, then answer again")
            raise OutputError(f"the answer cannot be kept: {reason_of(error)}; {advice}") from error
        self._whole += len(line)
        self.given[answer.case] = answer


def readers_of(folder: Path) -> list[tuple[QuestionKind, str]]:
    """Kinds and readers of whom there are answers."""
    found = []
    for kind in KINDS:
        head = f"{_PREFIX}-{kind}-"
        found += [(kind, path.stem.removeprefix(head)) for path in sorted(folder.glob(f"{head}*.jsonl"))]
    return found
