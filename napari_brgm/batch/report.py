"""Report of a batch: a table of its rows (CSV), and contact sheets of what was restored, to look through."""

from __future__ import annotations

import csv
import json
import os
import re
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING, Any

from PIL import Image, ImageDraw

from napari_brgm.scans.outputs import Outputs
from napari_brgm.text import plain_text

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from napari_brgm.batch.ledger import Entry

__all__ = ["TABLE", "write_report"]

TABLE = "batch.csv"
_COLUMNS = (
    "name", "state", "reason", "slices", "left_as_they_are", "misfit", "misfit_limit", "calibrated", "seconds", "image",
)  # fmt: skip
_SHEET = re.compile(r"Sheet(_[A-Za-z0-9]+)?\.png$")
_FORMULAS = ("=", "+", "-", "@")
_ACROSS, _DOWN, _WIDTH, _HEIGHT, _TITLE = 3, 6, 560, 260, 16


def write_report(out: Path, entries: Sequence[Entry]) -> list[Path]:
    """Write the table and the sheets of all entries, in place of earlier ones; the table first."""
    done = [entry for entry in entries if entry.state == "done"]
    pages = [done[i : i + _ACROSS * _DOWN] for i in range(0, len(done), _ACROSS * _DOWN)]
    names = [TABLE, *(f"batch-{page:03d}.png" for page in range(1, len(pages) + 1))]
    with Outputs(out, names, overwrite=True, describe=False) as files:
        with files.path(TABLE).open("w", encoding="utf-8", newline="") as stream:
            writer = csv.DictWriter(stream, _COLUMNS)
            writer.writeheader()
            writer.writerows({key: _cell(value) for key, value in _line(out, entry).items()} for entry in entries)
        for name, page in zip(names[1:], pages, strict=True):
            _contact_sheet(out, page).save(files.path(name))
        for name in names:
            files.path(name).chmod(0o600)
    return [out / name for name in names]


def _cell(value: Any) -> Any:
    """A cell that no program takes for a formula, on one line."""
    if not isinstance(value, str):
        return value
    text = " ".join(plain_text(value).splitlines())
    return f"'{text}" if text[:1] in _FORMULAS else text


def _line(out: Path, entry: Entry) -> dict[str, Any]:
    """What the table says of a row: of its image's record what a reader sorts by."""
    line: dict[str, Any] = {"name": entry.name, "state": entry.state, "reason": entry.reason}
    if entry.state == "done":
        line["seconds"] = round(entry.seconds, 1)
        line["image"] = entry.files[0] if entry.files else ""
        line |= _of_record(out, entry)
    return line


def _of_record(out: Path, entry: Entry) -> dict[str, Any]:
    if not entry.files:
        return {}
    image = out / entry.files[0]
    base = image.name.removesuffix(".gz").rsplit(".", 1)[0]
    record: dict[str, Any] = {}
    with suppress(OSError, ValueError):
        record = json.loads(image.with_name(f"{base}.json").read_text("utf-8"))
    slices = [record | own for own in record.get("slices", [])]
    misfits = [one["misfit"]["value"] for one in slices if (one.get("misfit") or {}).get("value") is not None]
    return {
        "slices": len(slices),
        "left_as_they_are": len(record.get("left_as_they_are", [])),
        "misfit": max(misfits, default=""),
        "misfit_limit": next((one["misfit"]["limit"] for one in slices if one.get("misfit")), ""),
        "calibrated": all((one.get("calibration") or {}).get("applied", False) for one in slices) if slices else "",
    }


def _contact_sheet(out: Path, entries: Sequence[Entry]) -> Image.Image:
    """Sheets of the rows, small, each under its name."""
    down = -(-len(entries) // _ACROSS)
    page = Image.new("RGB", (_ACROSS * _WIDTH, down * (_HEIGHT + _TITLE)), "black")
    draw = ImageDraw.Draw(page)
    with ThreadPoolExecutor(os.cpu_count()) as pool:  # unpacking lets others work
        shown = list(pool.map(partial(_small, out), entries))
    for number, (entry, small) in enumerate(zip(entries, shown, strict=True)):
        left, top = _WIDTH * (number % _ACROSS), (_HEIGHT + _TITLE) * (number // _ACROSS)
        draw.text((left + 4, top + 2), plain_text(entry.name), fill="white")
        if small is not None:
            page.paste(small, (left + 4, top + _TITLE))
    return page


def _small(out: Path, entry: Entry) -> Image.Image | None:
    """The sheet of a row, small."""
    sheet = next((file for file in entry.files if _SHEET.search(file)), None)
    with suppress(OSError):
        if sheet is not None:
            with Image.open(out / sheet) as shown:
                small = shown.convert("RGB")
            small.thumbnail((_WIDTH - 8, _HEIGHT - 4))
            return small
    return None
