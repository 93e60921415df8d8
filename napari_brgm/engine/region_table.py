"""Figures of regions as a table (CSV): for each its mean and, where there is a threshold, the volume above it."""

from __future__ import annotations

import csv
from typing import TYPE_CHECKING

from napari_brgm.engine.region import UNCALIBRATED

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from napari_brgm.engine.region import RegionFigure

__all__ = ["write_region_table"]

_COLUMNS = (
    "region", "quantity", "value", "std", "low", "high", "level", "units", "pixels", "synthetic", "intervals",
)  # fmt: skip


def write_region_table(path: Path, regions: Mapping[int, Sequence[RegionFigure]]) -> None:
    """Write the figures of regions, by their numbers, for the owner's eyes alone; OSError."""
    with path.open("w", encoding="utf-8", newline="") as stream:
        writer = csv.writer(stream)
        writer.writerow(_COLUMNS)
        for number, figures in regions.items():
            for one in figures:
                label = UNCALIBRATED if one.synthetic else "all of it was measured"
                values = (f"{value:.6g}" for value in (one.value, one.std, one.low, one.high, one.level))
                writer.writerow([number, one.quantity, *values, one.units, one.pixels, one.synthetic, label])
    path.chmod(0o600)
