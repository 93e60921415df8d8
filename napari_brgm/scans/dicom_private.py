"""Our private block in a DICOM file: (0099,xx01) UT is the record as JSON, (0099,xx02) LO the intensity units.

DICOM has no place for the unit of a variance.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from napari_brgm.errors import OutputError
from napari_brgm.scans.record import is_record, plain

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pydicom.dataset import Dataset

__all__ = ["CREATOR", "read_record", "write_record"]

CREATOR = "NAPARI-BRGM"
_GROUP, _RECORD, _UNITS = 0x0099, 0x01, 0x02


def write_record(dataset: Dataset, record: Mapping[str, Any], units: str) -> None:
    """Put the record and the units into a dataset.

    Raises
    ------
    OutputError
        The record is not made of plain values.
    """
    try:
        text = json.dumps(plain(record), allow_nan=False)  # ASCII, whatever the character set of the file
    except (TypeError, ValueError) as error:
        raise OutputError(f"the provenance must hold plain finite values for JSON: {error}") from error
    block = dataset.private_block(_GROUP, CREATOR, create=True)
    block.add_new(_RECORD, "UT", text)
    block.add_new(_UNITS, "LO", units[:64])


def read_record(dataset: Dataset) -> tuple[dict[str, Any] | None, str | None, tuple[str, ...]]:
    """Find the record in a dataset.

    Returns
    -------
    record : dict or None
        None where there is no such block.
    units : str or None
    notes : tuple of str
        What could not be read.
    """
    try:
        block = dataset.private_block(_GROUP, CREATOR)
    except KeyError:
        return None, None, ()
    try:
        record = json.loads(_text(block[_RECORD].value))
        units = _text(block[_UNITS].value) if _UNITS in block else None
    except (KeyError, ValueError, RecursionError):
        return None, None, ("the provenance in the file is damaged and was not read",)
    return (record, units or None, ()) if is_record(record) else (None, None, ())


def _text(value: Any) -> str:
    """Element value as text; a file that went through implicit VR has bytes."""
    return (value.decode("ascii", "replace") if isinstance(value, bytes) else str(value)).strip("\0 ")
