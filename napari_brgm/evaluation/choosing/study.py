"""Study: which cases people are asked about, and each reader's own order of them, told by seed and name alone.

    nearest   the truth beside all reconstructions of a slice: which is nearest to it?
    real      the truth and one reconstruction, methods in turn: which of the two is real? Each slice is asked about
              once, so that no answer gives another away

Everybody is asked the same, in an order and with places of their own.
"""

from __future__ import annotations

import hashlib
import json
import re
import shutil
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np

from napari_brgm.errors import InputError, OutputError
from napari_brgm.evaluation.choosing.cases import ChoiceCase, case_files, read_case
from napari_brgm.reason import advice_of, reason_of
from napari_brgm.whole_file import whole_file

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["KINDS", "TRUTH", "ChoiceQuestion", "ChoiceStudy", "QuestionKind", "checked_reader"]

QuestionKind = Literal["nearest", "real"]
KINDS: tuple[QuestionKind, ...] = ("nearest", "real")
TRUTH = "truth"
_FILE, _CASES = "study.json", "cases"
_READER = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,39}")


@dataclass(frozen=True, slots=True)
class ChoiceQuestion:
    """One question to one reader.

    Attributes
    ----------
    case, digest : str
        Name of the case, and the SHA-256 of its file.
    shown : tuple of str
        Methods by their places, 'truth' among them where it hides there.
    """

    case: str
    digest: str
    shown: tuple[str, ...]


class ChoiceStudy:
    """Cases in ``folder/cases``, and the seed.

    Parameters
    ----------
    folder : Path

    Raises
    ------
    InputError
        There is no study in it.
    ScanError
        A case was changed or lost since the study began.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        try:
            about = json.loads((folder / _FILE).read_text("utf-8"))
            self.seed, digests = int(about["seed"]), dict(about["cases"])
        except FileNotFoundError as error:
            raise InputError(f"{folder} holds no study; begin one with evaluate choose --reader NAME --out") from error
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise InputError(f"{folder / _FILE} cannot be read: {reason_of(error)}; choose another --out") from error
        self.cases: dict[str, ChoiceCase] = {}
        for name, digest in digests.items():
            self.cases[name] = read_case(folder / _CASES / f"{name}.npz")
            if self.cases[name].digest != digest:
                raise InputError(f"case {name} was changed since the study began; put it back, or choose another --out")

    @classmethod
    def there(cls, folder: Path) -> bool:
        """Whether a study has begun in the folder."""
        return (folder / _FILE).is_file()

    @classmethod
    def begin(cls, folder: Path, source: Path, count: int, seed: int) -> ChoiceStudy:
        """Choose ``count`` of the cases in ``source`` by the seed, and copy them.

        Raises
        ------
        InputError
            There are fewer.
        ScanError
            A case cannot be read.
        OutputError
            The folder cannot be written to.
        """
        files = case_files(source)
        if not 1 <= count <= len(files):
            raise InputError(f"--cases must be 1 to {len(files)}, as many as {source} holds; got {count}")
        picked = sorted(np.random.default_rng([seed, 1]).choice(len(files), count, replace=False).tolist())
        names = [list(files)[i] for i in picked]
        digests = {name: read_case(files[name]).digest for name in names}
        try:
            (folder / _CASES).mkdir(parents=True, exist_ok=True)
            for name in names:
                if files[name].resolve() != (folder / _CASES / f"{name}.npz").resolve():
                    shutil.copyfile(files[name], folder / _CASES / f"{name}.npz")
            with whole_file(folder / _FILE) as draft:
                draft.write_text(json.dumps({"seed": seed, "cases": digests}, indent=1), "utf-8")
        except OSError as error:
            advice = advice_of(error, "choose an --out folder that can be written")
            raise OutputError(f"cannot write into {folder}: {reason_of(error)}; {advice}") from error
        return cls(folder)

    def questions(self, kind: QuestionKind, reader: str) -> list[ChoiceQuestion]:
        """Questions to a reader, in the reader's order; the same whenever it is asked."""
        names = list(self.cases)
        turn = np.random.default_rng([self.seed, 2]).permutation(len(names))  # which method stands beside the truth
        own = np.random.default_rng([self.seed, KINDS.index(kind), *hashlib.sha256(reader.encode()).digest()])
        found = []
        for i in own.permutation(len(names)).tolist():
            case = self.cases[names[i]]
            among = case.methods if kind == "nearest" else (TRUTH, case.methods[int(turn[i]) % len(case.methods)])
            shown = tuple(among[place] for place in own.permutation(len(among)).tolist())
            found.append(ChoiceQuestion(case.name, case.digest, shown))
        return found


def checked_reader(name: str) -> str:
    """A name that can be one of a file.

    Raises
    ------
    InputError
        It cannot.
    """
    if not _READER.fullmatch(name):
        raise InputError(f"--reader is a pseudonym of letters, digits, - and _, such as reader-1; got {name!r}")
    return name
