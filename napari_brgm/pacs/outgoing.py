"""What may be sent: DICOM files that hold a record of ours, and nothing that was only read here."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from pydicom import dcmread
from pydicom.errors import InvalidDicomError
from pydicom.uid import UID

from napari_brgm.errors import InputError
from napari_brgm.scans.dicom_private import read_record
from napari_brgm.text import plain_text

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

__all__ = ["results_in"]


def results_in(paths: Sequence[Path]) -> tuple[list[Path], Mapping[str, int]]:
    """Find the files of results.

    Returns
    -------
    files : list of Path
    kinds : mapping
        Name of each kind of object -> how many there are.

    Raises
    ------
    InputError
        There is no file, or one that is no result of this program's.
    """
    files = [
        file for path in paths for file in (sorted(path.rglob("*")) if path.is_dir() else [path]) if file.is_file()
    ]
    if not files:
        raise InputError("there is no DICOM file to send; give a folder that a command wrote as DICOM")
    kinds: Counter[str] = Counter()
    for file in files:
        try:
            dataset = dcmread(file, stop_before_pixels=True)
        except (InvalidDicomError, OSError, ValueError) as error:
            raise InputError(f"{plain_text(file.name)} is no DICOM file, and nothing was sent; leave it out") from error
        if read_record(dataset)[0] is None:
            where = f"{plain_text(file.name)} in {plain_text(file.parent.name)}"
            raise InputError(f"{where} is no result of this program, and nothing was sent; leave it out")
        kinds[UID(str(dataset.SOPClassUID)).name] += 1
    return files, kinds
