"""KeptCells: arrays and plain values in a folder, a file each, so that a study that was cut goes on.

A file is written whole or not at all, and answers only for the fingerprint that it was made with.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from zipfile import BadZipFile

import numpy as np

from napari_brgm.errors import OutputError
from napari_brgm.reason import reason_of
from napari_brgm.whole_file import whole_file

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    import numpy.typing as npt

__all__ = ["Kept", "KeptCells"]

_OWN = ("fingerprint", "record")  # no names for arrays


@dataclass(frozen=True, slots=True, eq=False)
class Kept:
    """What one file holds: arrays by name, and a record of plain values."""

    arrays: dict[str, npt.NDArray[Any]]
    record: dict[str, Any]


class KeptCells:
    """Cells in a folder.

    Parameters
    ----------
    folder : Path
        Made if missing.

    Raises
    ------
    OutputError
        The folder cannot be made.

    Examples
    --------
    >>> from pathlib import Path; from tempfile import TemporaryDirectory
    >>> with TemporaryDirectory() as folder:
    ...     cells = KeptCells(Path(folder))
    ...     cells.save("x4--a slice", {"seed": 0}, {"estimate": np.ones(3)}, {"seconds": 1.5})
    ...     cells.load("x4--a slice", {"seed": 0}).record, cells.load("x4--a slice", {"seed": 1})
    ({'seconds': 1.5}, None)
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise OutputError(
                f"cannot make the folder {folder}: {reason_of(error)}; choose another one with --out"
            ) from error

    def load(self, name: str, fingerprint: Mapping[str, Any]) -> Kept | None:
        """Give a finished cell; None where there is none that is whole, of this fingerprint and in this form."""
        path = self.path(name)
        if not path.is_file():
            return None
        try:
            with path.open("rb") as stream, np.load(stream) as kept:
                if not set(_OWN) <= set(kept.files) or str(kept["fingerprint"]) != _text(fingerprint):
                    return None
                return Kept({key: kept[key] for key in kept.files if key not in _OWN}, json.loads(str(kept["record"])))
        except (OSError, EOFError, ValueError, BadZipFile):  # damaged: it is made again
            return None

    def save(
        self,
        name: str,
        fingerprint: Mapping[str, Any],
        arrays: Mapping[str, npt.NDArray[Any] | None],
        record: Mapping[str, Any] | None = None,
    ) -> None:
        """Keep a finished cell; arrays that are None are left out."""
        path = self.path(name)
        path.parent.mkdir(exist_ok=True)
        given = {key: value for key, value in arrays.items() if value is not None}
        own = {"fingerprint": np.array(_text(fingerprint)), "record": np.array(json.dumps(record or {}))}
        with whole_file(path) as draft, draft.open("wb") as stream:  # two processes may make one cell
            np.savez(stream, **{**given, **own})  # type: ignore[arg-type]

    def path(self, name: str) -> Path:
        """Where a cell lies; one '/' in its name makes a folder."""
        folder, _, last = name.rpartition("/")
        where = self.folder / _plain(folder) if folder else self.folder
        return where / f"{_plain(last)}.npz"


def _plain(name: str) -> str:
    return re.sub(r"[^A-Za-z0-9_.@-]+", "-", name)


def _text(fingerprint: Mapping[str, Any]) -> str:
    return json.dumps(fingerprint, sort_keys=True)
