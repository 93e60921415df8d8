"""Ledger: what became of each row of a batch, on disk as soon as it is known.

    <out>/.batch/<digest of the row's name>.json

It saves looking into scans that are done; what counts are the results themselves, which a row's command finds, too.
"""

from __future__ import annotations

import hashlib
import json
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from napari_brgm.errors import OutputError
from napari_brgm.reason import advice_of, reason_of
from napari_brgm.scans.record import sidecar_of
from napari_brgm.scans.staging import private_folder
from napari_brgm.text import plain_text
from napari_brgm.whole_file import whole_file

if TYPE_CHECKING:
    from collections.abc import Sequence

    from napari_brgm.batch.row import BatchRow

__all__ = ["Entry", "Ledger", "sizes_of"]

_FOLDER = ".batch"
_IMAGES = (".nii.gz", ".nii", ".png", ".tif")


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
    sizes : dict of str to int
        Of these and of the records beside them, bytes.
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
    sizes: dict[str, int] = field(default_factory=dict)

    def is_there(self, out: Path) -> bool:
        """Whether its files are there, as large as they were."""
        return all(_size(out / name) == size for name, size in self.sizes.items())


def _size(path: Path) -> int:
    """Bytes of a file, or how many a folder holds; -1: there is none."""
    if path.is_dir():
        return sum(1 for one in path.rglob("*") if one.is_file())
    return path.stat().st_size if path.is_file() else -1


def sizes_of(out: Path, files: Sequence[str]) -> dict[str, int]:
    """Of files of results and of the records beside them."""
    beside = [sidecar_of(Path(file)).as_posix() for file in files if file.endswith(_IMAGES)]
    return {name: size for name in [*files, *beside] if (size := _size(out / name)) >= 0}


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
        """What became of a row; None: nothing is known."""
        return self._read(self._file(row))

    def _read(self, file: Path) -> Entry | None:
        try:
            kept = json.loads(file.read_text("utf-8"))
            return Entry(**kept | {"files": tuple(kept["files"]), "notes": tuple(kept["notes"])})
        except (OSError, ValueError, TypeError, KeyError):
            return None

    def entries(self) -> list[Entry]:
        """What became of all rows so far, by their names."""
        found = [entry for file in self._folder.glob("*.json") if (entry := self._read(file)) is not None]
        return sorted(found, key=lambda entry: entry.name)

    def write(self, row: BatchRow, entry: Entry) -> None:
        """Put an entry on disk."""
        file = self._file(row)
        try:
            with whole_file(file, private=True) as draft:
                draft.write_text(json.dumps(asdict(entry), indent=1), "utf-8")
        except OSError as error:
            raise self._failed(error) from error

    def _file(self, row: BatchRow) -> Path:
        return self._folder / f"{hashlib.sha256(row.name.encode()).hexdigest()[:24]}.json"

    def _failed(self, error: OSError) -> OutputError:
        return OutputError(
            f"cannot write into {plain_text(self.out)}: {reason_of(error)}; "
            f"{advice_of(error, 'choose an --out folder that can be written')}"
        )
