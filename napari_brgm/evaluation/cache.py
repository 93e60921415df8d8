"""Cache: one JSON file of scores and one file of pictures for each method and task, so that a cut run goes on."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_brgm.errors import OutputError
from napari_brgm.evaluation.method import Progressed
from napari_brgm.evaluation.scores import Scores
from napari_brgm.reason import reason_of

if TYPE_CHECKING:
    from pathlib import Path

    import numpy.typing as npt

    Images = npt.NDArray[np.floating]

__all__ = ["Cache", "Cell"]


@dataclass(frozen=True, slots=True, eq=False)
class Cell:
    """One method on one task.

    Attributes
    ----------
    scores : Scores
    pictures : (P, R, R) ndarray
        Finished estimates of the slices of the contact sheet.
    stds : (P, R, R) ndarray or None
        Their standard deviations, grey levels, where the method gives any.
    """

    scores: Scores
    pictures: Images
    stds: Images | None = None


class Cache:
    """Cells in a folder; what was made with another ``fingerprint`` (prior, settings, slices) is not used.

    Parameters
    ----------
    folder : Path
        Made if missing.

    Raises
    ------
    OutputError
        The folder cannot be made.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise OutputError(
                f"cannot make the folder {folder}: {reason_of(error)}; choose another one with --out"
            ) from error

    def load(self, method: str, task: str, fingerprint: dict[str, Any]) -> Cell | None:
        """Give the finished cell, or None."""
        path = self._path(method, task, "json")
        if not path.is_file():
            return None
        record = json.loads(path.read_text())
        if _text(record["fingerprint"]) != _text(fingerprint):
            return None
        with np.load(self._path(method, task, "npz")) as arrays:
            return Cell(Scores(**record["scores"]), arrays["pictures"], arrays.get("stds"))

    def save(self, method: str, task: str, fingerprint: dict[str, Any], cell: Cell) -> None:
        """Keep a finished cell and drop its parts; the JSON comes last and vouches for the pictures."""
        path = self._path(method, task, "json")
        path.unlink(missing_ok=True)
        _write_arrays(self._path(method, task, "npz"), {"pictures": cell.pictures, "stds": cell.stds})
        _write_json(path, {"fingerprint": fingerprint, "scores": asdict(cell.scores)})
        self.drop_part(method, task)

    def load_part(self, method: str, task: str, fingerprint: dict[str, Any]) -> Progressed | None:
        """Give the slices done of an unfinished cell, or None."""
        path = self._path(method, task, "part.npz")
        if not path.is_file():
            return None
        with np.load(path) as arrays:
            if str(arrays["fingerprint"]) != _text(fingerprint):
                return None
            return Progressed(arrays["estimates"], arrays.get("stds"), float(arrays["seconds"]))

    def save_part(self, method: str, task: str, fingerprint: dict[str, Any], part: Progressed) -> None:
        """Keep what is done of a slow cell."""
        arrays = {"estimates": part.estimates, "stds": part.stds, "seconds": part.seconds}
        _write_arrays(self._path(method, task, "part.npz"), {**arrays, "fingerprint": _text(fingerprint)})

    def drop_part(self, method: str, task: str) -> None:
        """Forget what is done of an unfinished cell."""
        self._path(method, task, "part.npz").unlink(missing_ok=True)

    def load_record(self, name: str, fingerprint: dict[str, Any]) -> dict[str, Any] | None:
        """Give the plain values kept under ``name``, or None."""
        path = self.folder / f"{name}.json"
        if not path.is_file():
            return None
        kept: dict[str, Any] = json.loads(path.read_text())
        if _text(kept["fingerprint"]) != _text(fingerprint):
            return None
        record: dict[str, Any] = kept["record"]
        return record

    def save_record(self, name: str, fingerprint: dict[str, Any], record: dict[str, Any]) -> None:
        """Keep plain values."""
        _write_json(self.folder / f"{name}.json", {"fingerprint": fingerprint, "record": record})

    def _path(self, method: str, task: str, suffix: str) -> Path:
        return self.folder / f"{method}--{task}.{suffix}"


def _text(fingerprint: dict[str, Any]) -> str:
    return json.dumps(fingerprint, sort_keys=True)


def _write_json(path: Path, record: dict[str, Any]) -> None:
    draft = path.with_suffix(".tmp")
    draft.write_text(json.dumps(record, indent=1) + "\n")
    draft.replace(path)


def _write_arrays(path: Path, arrays: dict[str, Any]) -> None:
    draft = path.with_name(path.name + ".tmp")
    with draft.open("wb") as stream:  # a whole file or none, however the run ends
        np.savez_compressed(stream, **{name: value for name, value in arrays.items() if value is not None})
    draft.replace(path)
