"""Pairing: the scans of a folder, and the mask of each, by file names or by BIDS entities."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from pathlib import Path

from napari_brgm.batch.row import BatchRow, one_line
from napari_brgm.errors import InputError
from napari_brgm.reason import reason_of
from napari_brgm.scans.dicom_file import looks_like_dicom, opening
from napari_brgm.text import plain_text

__all__ = ["Found", "entities_of", "mask_of", "paired", "scans_below"]

_ENDINGS = (".nii.gz", ".nii", ".png", ".jpg", ".jpeg", ".tif", ".tiff", ".npy", ".dcm")
_MASKS = re.compile(r"[_-](mask|roi|seg|lesion|hole)s?$", re.IGNORECASE)
_ENTITY = re.compile(r"([a-zA-Z]+)-([a-zA-Z0-9]+)")
_OF_MASKS = ("desc", "label", "space", "res")  # entities that a mask has beyond its scan's


@dataclass(frozen=True, slots=True)
class Found:
    """What a folder holds.

    Attributes
    ----------
    rows : tuple of BatchRow
    unpaired : tuple of (str, str)
        Names of scans and masks that have no partner, or several, and why.
    """

    rows: tuple[BatchRow, ...]
    unpaired: tuple[tuple[str, str], ...] = ()


def scans_below(folder: Path, *, pictures_of_masks: bool = False) -> dict[str, Path]:
    """Scans of a folder and of those in it: files, and folders of DICOM slices, by their names without an ending.

    ``pictures_of_masks``: NPY files too.

    Raises
    ------
    InputError
        There is no such folder, or two scans have one name.
    """
    if not folder.is_dir():
        raise InputError(f"there is no folder {plain_text(folder)}; check the path")
    found: dict[str, Path] = {}
    for place, folders, files in os.walk(folder, onerror=_unreadable):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        here, slices, others = Path(place), [], 0
        for name in sorted(files):
            path = here / name
            if name.startswith("."):
                continue
            ending = next((one for one in _ENDINGS if name.lower().endswith(one)), None)
            if ending == ".dcm" or (ending is None and looks_like_dicom(_head(path))):
                slices.append(path)
            elif ending is not None and (ending != ".npy" or pictures_of_masks):
                others += 1
                _add(found, _name(folder, path, ending), path)
        if slices and here != folder and (len(slices) > 1 or not others):
            _add(found, _name(folder, here, ""), here)
        else:  # slices that lie in the folder itself would hide all others behind one name
            for path in slices:
                _add(found, _name(folder, path, ".dcm" if path.name.lower().endswith(".dcm") else ""), path)
    return found


def paired(scans: Path, masks: Path | None) -> Found:
    """The rows of a folder of scans: each with its mask, or without where ``masks`` is None.

    A mask has its scan's name, with or without an ending such as '_mask' and in any folder; or the BIDS entities of the
    scan, with others such as desc- and label-.

    Raises
    ------
    InputError
        There is nothing to pair.
    """
    of = scans_below(scans)
    if masks is None:
        if not of:
            raise InputError(f"there is no scan in {plain_text(scans)}: NIfTI, DICOM, PNG, JPEG or TIFF")
        return Found(tuple(BatchRow(name, path) for name, path in of.items()))
    theirs = scans_below(masks, pictures_of_masks=True)
    if masks.resolve() == scans.resolve():  # side by side: what is called a mask is none of the scans
        of = {name: path for name, path in of.items() if not _MASKS.search(name)}
        theirs = {name: path for name, path in theirs.items() if _MASKS.search(name)}
    rows, unpaired, used = [], [], set()
    for name, path in of.items():
        used.update(_fitting(name, theirs))
        mask = mask_of(name, theirs)
        if isinstance(mask, str):
            unpaired.append((name, mask))
        else:
            rows.append(BatchRow(name, path, mask))
    unpaired += [
        (name, "no scan has the name or the BIDS entities of this mask") for name in theirs if name not in used
    ]
    if not rows:
        raise InputError(
            f"no mask in {plain_text(masks)} fits a scan in {plain_text(scans)}; name masks as their scans, with or "
            "without _mask, or give a job file with --job"
        )
    return Found(tuple(rows), tuple(unpaired))


def mask_of(name: str, masks: dict[str, Path]) -> Path | str:
    """The mask of a scan among masks by their names; a str: why there is none."""
    fitting = _fitting(name, masks)
    if len(fitting) == 1:
        return masks[fitting[0]]
    if fitting:
        return f"{len(fitting)} masks fit: {', '.join(map(plain_text, fitting[:3]))}"
    return "no mask has its name or its BIDS entities"


def entities_of(name: str) -> dict[str, str]:
    """BIDS entities of a file's name without its ending; none where it is not named so.

    Examples
    --------
    >>> entities_of("sub-01/anat/sub-01_acq-mprage_T1w")
    {'sub': '01', 'acq': 'mprage'}
    """
    found: dict[str, str] = {}
    for part in name.rsplit("/", 1)[-1].split("_"):
        if match := _ENTITY.fullmatch(part):
            found[match[1]] = match[2]
    return found if "sub" in found else {}


def _fitting(name: str, masks: dict[str, Path]) -> list[str]:
    """Masks of a scan: of the same place and name, else of the same name, else of the same entities."""
    last = name.rsplit("/", 1)[-1]
    plain = {mask: _MASKS.sub("", mask) for mask in masks}
    same_place = [mask for mask, bare in plain.items() if bare == name]
    same_name = [mask for mask, bare in plain.items() if bare.rsplit("/", 1)[-1] == last]
    if same_place or same_name:
        return same_place or same_name
    own = entities_of(name)
    if not own:
        return []
    return [mask for mask in masks if _without(entities_of(mask)) == own and _MASKS.search(mask)]


def _without(entities: dict[str, str]) -> dict[str, str]:
    return {key: value for key, value in entities.items() if key not in _OF_MASKS}


def _name(folder: Path, path: Path, ending: str) -> str:
    inner = one_line(path.relative_to(folder).as_posix())
    return inner[: len(inner) - len(ending)] if ending else inner


def _add(found: dict[str, Path], name: str, path: Path) -> None:
    other = found.setdefault(name, path)
    if other != path:
        raise InputError(
            f"{plain_text(other.name)} and {plain_text(path.name)} have one name but for the ending; rename one"
        )


def _head(path: Path) -> bytes:
    try:
        return opening(path)
    except OSError:
        return b""


def _unreadable(error: OSError) -> None:
    raise InputError(f"a folder cannot be looked into: {reason_of(error)}; check its permissions") from error
