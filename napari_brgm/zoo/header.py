"""What the header of a prior's file tells: family and settings, where older versions wrote entries without them."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from napari_brgm.tensor_file import read_header
from napari_brgm.zoo.families import family_of_format

if TYPE_CHECKING:
    from pathlib import Path

    from napari_brgm.zoo.entry import PriorEntry

__all__ = ["knows_neighbours", "with_family"]


def with_family(entry: PriorEntry, path: Path) -> PriorEntry:
    """The entry, and what it leaves open of family, preset and rank as its file's header has it.

    With the usual preset where there is no header.
    """
    if entry.family and entry.preset:
        return entry
    try:
        names, metadata = read_header(path)
    except (OSError, ValueError):  # verify and load tell what is wrong with it
        return replace(entry, preset=entry.preset or "default")
    family = family_of_format(metadata.get("format", ""))
    rank = entry.rank if entry.family else family.rank
    return replace(entry, family=family.name, preset=entry.preset or family.preset(names), rank=rank)


def knows_neighbours(path: Path) -> bool:
    """Whether the prior in a file knows how neighbouring slices belong together."""
    try:
        names, _ = read_header(path)
    except (OSError, ValueError):
        return False
    return "through.latents" in names
