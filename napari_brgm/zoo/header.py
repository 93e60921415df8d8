"""Entries without family and settings, as older versions wrote them: the file's header tells both."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from napari_brgm.tensor_file import read_header
from napari_brgm.zoo.families import family_of_format

if TYPE_CHECKING:
    from pathlib import Path

    from napari_brgm.zoo.entry import PriorEntry

__all__ = ["with_family"]


def with_family(entry: PriorEntry, path: Path) -> PriorEntry:
    """The entry with family, preset and rank of its file's header; with the usual preset where there is none."""
    if entry.family:
        return entry
    try:
        names, metadata = read_header(path)
    except (OSError, ValueError):  # verify and load tell what is wrong with it
        return replace(entry, preset=entry.preset or "default")
    family = family_of_format(metadata.get("format", ""))
    return replace(entry, family=family.name, preset=family.preset(names), rank=family.rank)
