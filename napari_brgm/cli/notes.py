"""What is to be known of restored slices: each sentence once, on stderr; last how far their intervals were tried."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import typer

if TYPE_CHECKING:
    from collections.abc import Sequence

    from napari_brgm.cli.restored_slice import RestoredSlice

__all__ = ["tell_notes"]

_NUMBER = re.compile(r"\d+(\.\d+)?")


def tell_notes(slices: Sequence[RestoredSlice]) -> None:
    """Print the notes of the slices' records, those that differ in their figures alone as one."""
    told: dict[str, list[tuple[RestoredSlice, str]]] = {}
    for one in slices:
        label = one.provenance.get("calibration", {}).get("label")
        for note in [*one.provenance["notes"], *([label] if label else [])]:
            told.setdefault(_NUMBER.sub("", note), []).append((one, note))
    for alike in told.values():
        (first, note), others = alike[0], len(alike) - 1
        where = f"{first.piece.plane} slice {first.piece.index}"
        more = f", and alike for {others} more" if others else ""
        everywhere = len(alike) == len(slices) and all(text == note for _, text in alike)
        typer.echo(f"note: {note}" if everywhere else f"note: {where}: {note}{more}", err=True)
