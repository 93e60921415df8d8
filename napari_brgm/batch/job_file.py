"""Job file: the rows of a batch in a CSV or YAML file.

    scan,mask,name,index            - scan: a/t1.nii.gz
    a/t1.nii.gz,a/hole.nii.gz,a,80    mask: a/hole.nii.gz
                                      index: 80

``scan`` is needed; ``mask`` where the task needs one; ``name`` is the folder of the results, the scan's by default;
``pseudonym`` is what they call the scan. All else are options of the shell's command for that scan: 'index' for
--index. Paths are meant from the file's own folder.
"""

from __future__ import annotations

import csv
import io
import re
from pathlib import Path
from typing import Any

import yaml

from napari_brgm.batch.row import BatchRow, one_line
from napari_brgm.errors import InputError
from napari_brgm.reason import reason_of
from napari_brgm.text import plain_text

__all__ = ["read_job"]

_OWN = ("scan", "mask", "name", "pseudonym")
_PATHS = ("roi", "second")  # options that are files
_MOST = 64 << 20  # bytes
_OPTION = re.compile(r"[a-z][a-z0-9_-]*")
_ENDING = re.compile(r"\.(nii\.gz|nii|png|jpe?g|tiff?|npy|dcm)$", re.IGNORECASE)
_TAKEN = ("out", "resume", "overwrite", "save-video")  # options that the batch gives itself, or that are for one scan


def read_job(path: Path) -> tuple[BatchRow, ...]:
    """Read the rows.

    Raises
    ------
    InputError
        It cannot be read, or a row lacks its scan or has a column that is no option.
    """
    try:
        if path.stat().st_size > _MOST:
            raise InputError(f"{plain_text(path.name)} is too large for a job file; give a CSV or YAML file of rows")
        text = path.read_text("utf-8-sig")
        records = (
            list(csv.DictReader(io.StringIO(text, newline="")))
            if path.suffix.lower() == ".csv"
            else yaml.safe_load(text)
        )
    except OSError as error:
        raise InputError(f"{plain_text(path.name)} cannot be read: {reason_of(error)}; check the path") from error
    except UnicodeDecodeError as error:
        raise InputError(f"{plain_text(path.name)} is not in UTF-8; save it as CSV or YAML in UTF-8") from error
    except (csv.Error, yaml.YAMLError) as error:
        raise InputError(f"{plain_text(path.name)} is no CSV or YAML file of rows with 'scan' and 'mask'") from error
    if not isinstance(records, list) or not records or not all(isinstance(one, dict) for one in records):
        raise InputError(f"{plain_text(path.name)} holds no rows; give a list of them, each with 'scan' and 'mask'")
    return tuple(_row(record, number, path) for number, record in enumerate(records, 1))


def _row(record: dict[Any, Any], number: int, path: Path) -> BatchRow:
    if record.get(None):  # what csv makes of cells without a column
        raise InputError(f"row {number} of {plain_text(path.name)} has more cells than there are columns; quote commas")
    given = {str(key).strip().lower(): value for key, value in record.items() if value not in (None, "")}
    if any(";" in key for key in given):
        raise InputError(f"{plain_text(path.name)} is parted by semicolons; save it with commas")
    if not isinstance(given.get("scan"), str):
        raise InputError(f"row {number} of {plain_text(path.name)} has no scan; give its path in column 'scan'")
    folder, scan = path.parent, Path(given["scan"])
    mask = given.get("mask")
    pseudonym = None if given.get("pseudonym") is None else str(given["pseudonym"])
    name = one_line(str(given.get("name") or pseudonym or _default_name(scan)))
    options: list[str] = []
    for key, value in given.items():
        option = key.replace("_", "-")
        if key in _OWN:
            continue
        if not _OPTION.fullmatch(option) or option in _TAKEN or isinstance(value, list | dict):
            raise InputError(
                f"row {number} of {plain_text(path.name)}: {plain_text(key)!r} is no option for one scan; leave it out"
            )
        if isinstance(value, bool):
            options.append(f"--{option}" if value else f"--no-{option}")
        else:
            options += [f"--{option}", str((folder / str(value)).absolute()) if option in _PATHS else str(value)]
    return BatchRow(name, folder / scan, None if mask is None else folder / str(mask), tuple(options), None, pseudonym)


def _default_name(scan: Path) -> str:
    plain = _ENDING.sub("", scan.as_posix())
    return "/".join(part for part in plain.split("/") if part not in ("", ".", ".."))
