"""The two halves of a NIfTI pair: x.hdr holds the header, x.img the voxels, either gzipped or not."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from napari_brgm.errors import ScanError

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["halves_of"]

_SUFFIX = re.compile(r"\.(hdr|img|nii)(\.gz)?$", re.IGNORECASE)


def halves_of(path: Path) -> tuple[Path, Path]:
    """Header and voxels of the pair that a file is one half of.

    Raises
    ------
    ScanError
        The other half is missing; the sentence names it.
    """
    found = _SUFFIX.search(path.name)
    stem = path.name if found is None else path.name[: found.start()]
    given = "hdr" if found is None or found[1].lower() != "img" else "img"
    halves = {}
    for half in ("hdr", "img"):
        halves[half] = path if half == given else _beside(path, stem, half)
    return halves["hdr"], halves["img"]


def _beside(path: Path, stem: str, half: str) -> Path:
    for ending in (half, half.upper()):
        for packed in ("", ".gz", ".GZ"):
            other = path.with_name(f"{stem}.{ending}{packed}")
            if other.is_file():
                return other
    raise ScanError(
        f"{stem}.{half} beside it is missing: {path.name} is one half of a pair of {stem}.hdr and {stem}.img; copy both"
    )
