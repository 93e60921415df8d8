"""Row: one scan of a batch, its mask, and where its results go."""

from __future__ import annotations

import hashlib
import json
import re
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from napari_brgm.errors import InputError
from napari_brgm.scans.fingerprint import stamp_of
from napari_brgm.text import plain_text

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["BatchRow", "check_names", "one_line"]

_OUTSIDE = ("..", "")
_BREAKS = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029]")


@dataclass(frozen=True, slots=True)
class BatchRow:
    """One scan.

    Attributes
    ----------
    name : str
        Its own, and of the folder of its results below ``--out``, with '/' between folders.
    scan : Path
    mask : Path or None
        None: the task needs none.
    options : tuple of str
        Of the shell's command, for this scan alone.
    folder : str or None
        Of its results, where it shares one with others; None: ``name``.
    pseudonym : str or None
        What is said in place of the names of its files.
    """

    name: str
    scan: Path = field(repr=False)  # a scheduler logs what its tasks were given
    mask: Path | None = field(default=None, repr=False)
    options: tuple[str, ...] = field(default=(), repr=False)
    folder: str | None = None
    pseudonym: str | None = None

    def absolute(self) -> BatchRow:
        """The same, wherever it is worked on."""
        return replace(self, scan=self.scan.absolute(), mask=None if self.mask is None else self.mask.absolute())

    def arguments(self, task: str, common: Sequence[str], out: Path) -> list[str]:
        """The command that restores it, as a person would type it."""
        mask = [] if self.mask is None else ["--mask", str(self.mask)]
        folder = str(out.joinpath(*(self.name if self.folder is None else self.folder).split("/")))
        return [task, str(self.scan), *mask, "--out", folder, "--resume", *common, *self._own]

    @property
    def _own(self) -> list[str]:
        return [*([] if self.pseudonym is None else ["--pseudonym", self.pseudonym]), *self.options]

    @property
    def missing(self) -> str:
        """What to call the file that is not there."""
        is_mask = self.mask is not None and self.scan.exists()
        if self.pseudonym is not None:
            return f"{'mask' if is_mask else 'scan'} of {self.pseudonym}"
        return plain_text(self.mask.name if is_mask and self.mask is not None else self.scan.name)

    def stamp(self, task: str, common: Sequence[str], decisive: Any) -> str:
        """Digest that stays where files and options stay; '' where a file is missing."""
        stamps = [stamp_of(path) for path in (self.scan, self.mask) if path is not None]
        if not all(stamps):
            return ""
        stamps += [stamp_of(Path(one)) for one in self.options if Path(one).is_absolute()]
        text = json.dumps([task, list(common), self._own, stamps, decisive])
        return hashlib.sha256(text.encode()).hexdigest()


def one_line(name: str) -> str:
    r"""A name for a folder of results without breaks of lines, which part what commands print and tables.

    Examples
    --------
    >>> one_line("a\nb/c")
    'a_b/c'
    """
    return _BREAKS.sub("_", name)


def check_names(rows: Sequence[BatchRow]) -> None:
    """Refuse names that two rows share, or that lead elsewhere.

    Raises
    ------
    InputError
    """
    seen: dict[str, BatchRow] = {}
    for row in rows:
        parts = row.name.split("/")
        if any(part.strip(" .") in _OUTSIDE or "\\" in part for part in parts) or row.name.startswith("."):
            raise InputError(f"{plain_text(row.name)!r} is no name for a folder of results; name them a/b or b")
        same = seen.setdefault(row.name.lower(), row)
        if same is not row:
            both = [plain_text(one.scan.name if one.pseudonym is None else "one scan") for one in (same, row)]
            raise InputError(
                f"the results of {' and '.join(both)} would both lie in {plain_text(row.name)}; rename one, or give "
                "names in a job file"
            )
