"""Row: one scan of a batch, its mask, and where its results go."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from napari_brgm.errors import InputError
from napari_brgm.scans.fingerprint import stamp_of
from napari_brgm.text import plain_text

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

__all__ = ["BatchRow", "check_names"]

_OUTSIDE = ("..", "")


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
    """

    name: str
    scan: Path
    mask: Path | None = None
    options: tuple[str, ...] = ()
    folder: str | None = None

    def absolute(self) -> BatchRow:
        """The same, wherever it is worked on."""
        return replace(self, scan=self.scan.absolute(), mask=None if self.mask is None else self.mask.absolute())

    def arguments(self, task: str, common: Sequence[str], out: Path) -> list[str]:
        """The command that restores it, as a person would type it."""
        mask = [] if self.mask is None else ["--mask", str(self.mask)]
        folder = str(out.joinpath(*(self.name if self.folder is None else self.folder).split("/")))
        return [task, str(self.scan), *mask, "--out", folder, "--resume", *common, *self.options]

    def stamp(self, task: str, common: Sequence[str], decisive: Any) -> str:
        """Digest that stays where files and options stay; '' where a file is missing."""
        stamps = [stamp_of(path) for path in (self.scan, self.mask) if path is not None]
        if not all(stamps):
            return ""
        text = json.dumps([task, list(common), list(self.options), stamps, decisive])
        return hashlib.sha256(text.encode()).hexdigest()


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
            raise InputError(
                f"the results of {plain_text(same.scan.name)} and {plain_text(row.scan.name)} would both lie in "
                f"{plain_text(row.name)}; rename one, or give names in a job file"
            )
