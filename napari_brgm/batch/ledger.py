"""Ledger: what became of each row of a batch, on disk as soon as it is known.

    <out>/.batch/<digest of the row's name>.json

It saves looking into scans that are done; what counts are the results themselves, which a row's command finds, too.
"""

from __future__ import annotations

import hashlib
import json
from contextlib import suppress
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING

from napari_brgm.errors import OutputError
from napari_brgm.reason import advice_of, reason_of
from napari_brgm.scans.staging import PRIVATE_FILE, private_folder
from napari_brgm.text import plain_text

if TYPE_CHECKING:
    from pathlib import Path

    from napari_brgm.batch.row import BatchRow

__all__ = ["Entry", "Ledger"]

_FOLDER = ".batch"


@dataclass(frozen=True, slots=True)
class Entry:
    """What became of a row.

    Attributes
    ----------
    name : str
    state : {'done', 'failed'}
    stamp : str
        Of its files and options (``BatchRow.stamp``).
    reason : str
        Why it failed.
    files : tuple of str
        Of its results, from ``--out``.
    notes : tuple of str
        What was told of it.
    seconds : float
    """

    name: str
    state: str
    stamp: str
    reason: str = ""
    files: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    seconds: float = 0.0


class Ledger:
    """Entries below a folder of results.

    Parameters
    ----------
    out : Path
        Made if missing.

    Raises
    ------
    OutputError
        It cannot be written to.
    """

    def __init__(self, out: Path) -> None:
        self.out, self._folder = out, out / _FOLDER
        try:
            out.mkdir(mode=0o700, parents=True, exist_ok=True)
            with suppress(FileExistsError):
                private_folder(self._folder)
        except OSError as error:
            raise self._failed(error) from error

    def entry(self, row: BatchRow) -> Entry | None:
        """What became of a row; None: nothing is known, or a file of it is gone."""
        return self._read(self._file(row))

    def _read(self, file: Path) -> Entry | None:
        try:
            kept = json.loads(file.read_text("utf-8"))
            found = Entry(**kept | {"files": tuple(kept["files"]), "notes": tuple(kept["notes"])})
        except (OSError, ValueError, TypeError, KeyError):
            return None
        return found if all((self.out / name).exists() for name in found.files) else None

    def entries(self) -> list[Entry]:
        """What became of all rows so far, by their names."""
        found = [entry for file in self._folder.glob("*.json") if (entry := self._read(file)) is not None]
        return sorted(found, key=lambda entry: entry.name)

    def write(self, row: BatchRow, entry: Entry) -> None:
        """Put an entry on disk."""
        file = self._file(row)
        draft = file.with_suffix(".part")
        try:
            draft.touch(PRIVATE_FILE)
            draft.write_text(json.dumps(asdict(entry), indent=1), "utf-8")
            draft.replace(file)
        except OSError as error:
            raise self._failed(error) from error

    def _file(self, row: BatchRow) -> Path:
        return self._folder / f"{hashlib.sha256(row.name.encode()).hexdigest()[:24]}.json"

    def _failed(self, error: OSError) -> OutputError:
        return OutputError(
            f"cannot write into {plain_text(self.out)}: {reason_of(error)}; "
            f"{advice_of(error, 'choose an --out folder that can be written')}"
        )
