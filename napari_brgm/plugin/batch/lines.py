"""What ``napari-brgm batch --json`` has printed so far: the rows of a batch, and how far it is."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["BatchLines", "ShownRow"]


@dataclass(frozen=True, slots=True)
class ShownRow:
    """One scan, as a person sees it.

    Attributes
    ----------
    name : str
    state : {'waiting', 'at work', 'done', 'failed'}
    share : float
        Done of one at work, 0 .. 1.
    seconds : float
    reason : str
        Why it failed.
    """

    name: str
    state: str
    share: float = 0.0
    seconds: float = 0.0
    reason: str = ""


class BatchLines:
    """Reads what is new in the file of a command's lines.

    Attributes
    ----------
    rows : dict of str to ShownRow
        In the order of the batch.
    ended : int
    share : float
        Done of all rows, 0 .. 1.
    seconds_left : float or None
        None: not known yet.
    """

    def __init__(self, path: Path) -> None:
        self._path, self._at = path, 0
        self.rows: dict[str, ShownRow] = {}
        self.ended, self.share = 0, 0.0
        self.seconds_left: float | None = None

    def read(self) -> list[ShownRow]:
        """Take up new lines; gives the rows that have changed."""
        try:
            with self._path.open("rb") as stream:
                stream.seek(self._at)
                new = stream.read()
        except OSError:
            return []
        whole = new[: new.rfind(b"\n") + 1]  # the last line may be half-written
        self._at += len(whole)
        before = dict(self.rows)
        for line in whole.splitlines():
            try:
                self._take(json.loads(line))
            except (ValueError, TypeError, KeyError, AttributeError):
                continue
        return [row for name, row in self.rows.items() if before.get(name) != row]

    def _take(self, said: dict[str, Any]) -> None:
        if "plan" in said:
            self.rows = {one["row"]: _row(one) for one in said["plan"]}
        elif "row" in said:
            self.rows[said["row"]] = _row(said)
        else:
            self.ended, self.share, self.seconds_left = said["ended"], said["share"], said["seconds_left"]
            for name, share in said["at_work"].items():
                self.rows[name] = ShownRow(name, "at work", float(share))


def _row(said: dict[str, Any]) -> ShownRow:
    return ShownRow(
        said["row"], said["state"], seconds=float(said.get("seconds", 0)), reason=str(said.get("reason", ""))
    )
