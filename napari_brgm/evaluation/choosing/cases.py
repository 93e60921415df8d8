"""Case: one slice as people are asked about it, a file of its own.

``NAME.npz``, without pickled objects, images in whole grey levels 0..255 as they are shown:

    truth      (R, R) uint8
    observed   (h, w) uint8; zero in a hole
    hole       (R, R) bool; all false where nothing is hidden
    methods    (M,) names of the methods, M from 1 to 8
    restored   (M, R, R) uint8, in the order of ``methods``
    task       name of the task, by which the report parts its figures
    subject    whose slice it is; slices of one subject count as one trial

All are rounded alike: no image is told by its fractions.
"""

from __future__ import annotations

import hashlib
import io
import re
import zipfile
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_brgm.errors import InputError, OutputError, ScanError
from napari_brgm.reason import advice_of, reason_of
from napari_brgm.whole_file import whole_file

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    import numpy.typing as npt

    Image = npt.NDArray[np.uint8]

__all__ = ["MOST_METHODS", "ChoiceCase", "case_files", "read_case", "write_case"]

MOST_METHODS = 8  # keys 1 to 8, and one more for the truth where it hides among them
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,99}")
_LARGEST = 256 * 2**20  # bytes
_PARTS = ("truth", "observed", "hole", "methods", "restored", "task", "subject")


@dataclass(frozen=True, slots=True, eq=False)
class ChoiceCase:
    """What is in a file of a case.

    Attributes
    ----------
    name : str
        Of the file.
    digest : str
        SHA-256 of the file: answers are about this content.
    truth, observed : (R, R) and (h, w) ndarray, uint8
    hole : (R, R) ndarray of bool
    restored : dict of (R, R) ndarray, uint8
        By name of the method.
    task, subject : str
    """

    name: str
    digest: str
    truth: Image
    observed: Image
    hole: npt.NDArray[np.bool_]
    restored: dict[str, Image]
    task: str
    subject: str

    @property
    def methods(self) -> tuple[str, ...]:
        return tuple(self.restored)


def write_case(
    folder: Path, name: str, truth: npt.ArrayLike, observed: npt.ArrayLike,
    reconstructions: Mapping[str, npt.ArrayLike], *, hole: npt.ArrayLike | None = None, task: str = "",
    subject: str = "",
) -> Path:  # fmt: skip
    """Write a case for ``evaluate choose --from FOLDER``; one of that name is replaced.

    Parameters
    ----------
    folder : Path
        Made if missing.
    name : str
        Letters, digits, dots, hyphens and underscores; tells neither patient nor method.
    truth : (R, R) array-like
        Grey levels 0..255.
    observed : (h, w) array-like
        What was seen of it; of super-resolution the low-resolution image.
    reconstructions : mapping of str to (R, R) array-like
        By name of the method, 1 to 8 of them.
    hole : (R, R) array-like of bool or None
        Where nothing was measured.
    task, subject : str

    Raises
    ------
    InputError
        The parts do not fit together.
    OutputError
        The file cannot be written.
    """
    arrays = {
        "truth": _levels(truth), "observed": _levels(observed), "methods": np.array([str(m) for m in reconstructions]),
        "restored": np.stack([_levels(image) for image in reconstructions.values()]) if reconstructions else _none(),
        "task": np.array(str(task)), "subject": np.array(str(subject)),
    }  # fmt: skip
    arrays["hole"] = np.zeros(arrays["truth"].shape, np.bool_) if hole is None else np.asarray(hole, np.bool_)
    if not _NAME.fullmatch(name):
        raise InputError(f"a case is called by letters, digits, dots, - and _, such as case-007; got {name!r}")
    if wrong := _wrong(arrays):
        raise InputError(f"case {name}: {wrong}")
    held = io.BytesIO()
    np.savez_compressed(held, allow_pickle=False, **arrays)
    path = folder / f"{name}.npz"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with whole_file(path) as draft:
            draft.write_bytes(held.getvalue())
        return path
    except OSError as error:
        advice = advice_of(error, "choose a folder that can be written")
        raise OutputError(f"case {name} cannot be written: {reason_of(error)}; {advice}") from error


def read_case(path: Path) -> ChoiceCase:
    """Read a case.

    Raises
    ------
    ScanError
        The file is missing, damaged, or no case.
    """
    advice = "write it again, or take it out of the folder"
    try:
        if path.stat().st_size > _LARGEST:
            raise ScanError(f"{path.name} is too large for a case; {advice}")
        data = path.read_bytes()
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            if sum(entry.file_size for entry in archive.infolist()) > _LARGEST:
                raise ScanError(f"{path.name} is too large for a case; {advice}")
        with np.load(io.BytesIO(data), allow_pickle=False) as held:
            parts = {name: held[name] for name in _PARTS}
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile) as error:
        raise ScanError(f"{path.name} is no case that can be read: {reason_of(error)}; {advice}") from error
    if wrong := _wrong(parts):
        raise ScanError(f"{path.name} is no case: {wrong}; {advice}")
    names = [str(name) for name in parts["methods"]]
    return ChoiceCase(
        path.stem, hashlib.sha256(data).hexdigest(), parts["truth"], parts["observed"], parts["hole"],
        dict(zip(names, parts["restored"], strict=True)), str(parts["task"]), str(parts["subject"]),
    )  # fmt: skip


def case_files(folder: Path) -> dict[str, Path]:
    """Files of the cases in a folder, by name, in its order.

    Raises
    ------
    InputError
        There is none.
    """
    found = {path.stem: path for path in sorted(folder.glob("*.npz"))}
    if not found:
        raise InputError(f"{folder} holds no case (NAME.npz); write some with evaluation.choosing.write_case")
    return found


def _levels(image: npt.ArrayLike) -> Image:
    levels: Image = np.clip(np.round(np.nan_to_num(np.asarray(image, np.float64))), 0, 255).astype(np.uint8)
    return levels


def _none() -> Image:
    return np.zeros((0, 1, 1), np.uint8)


def _wrong(parts: dict[str, npt.NDArray[Any]]) -> str:
    """What does not fit together; '' if all does."""
    truth, restored, methods = parts["truth"], parts["restored"], parts["methods"]
    if any(parts[name].dtype != np.uint8 for name in ("truth", "observed", "restored")):
        return "images must be uint8"
    if parts["hole"].dtype != np.bool_:
        return "the hole must be true or false"
    if truth.ndim != 2 or parts["observed"].ndim != 2 or not truth.size or not parts["observed"].size:
        return f"truth and observed must be gray images, got shapes {truth.shape} and {parts['observed'].shape}"
    if methods.dtype.kind != "U" or methods.ndim != 1 or not 1 <= len(methods) <= MOST_METHODS:
        return f"there must be 1 to {MOST_METHODS} methods, each with its name"
    if len(set(methods.tolist())) < len(methods):
        return "two methods have one name"
    if any(not name or "," in name or name == "truth" for name in methods.tolist()):
        return "methods are called by anything but nothing, 'truth' and names with commas"
    if restored.shape != (len(methods), *truth.shape):
        return f"reconstructions must be {len(methods)} of shape {truth.shape}, got {restored.shape}"
    if parts["hole"].shape != truth.shape:
        return f"the hole must have shape {truth.shape}, got {parts['hole'].shape}"
    return ""
