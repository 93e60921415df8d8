"""Pictures that the shell restored -> layers of their run; pictures else are opened by napari's own readers."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from napari_brgm.errors import ScanError
from napari_brgm.plugin.layers.scans import result_settings, robust_limits

if TYPE_CHECKING:
    from pathlib import Path

    LayerData = tuple[Any, dict[str, Any], str]

__all__ = ["PICTURES", "picture_layer"]

PICTURES = (".png", ".tif")  # as the shell writes them


def picture_layer(path: Path) -> LayerData:
    """Layer data of a result: (H, W), or (H, W, 3) in colour, in mm where its record says how large its pixels are.

    Raises
    ------
    ScanError
        It cannot be read, or there is no record of ours beside it.
    """
    from napari_brgm.scans.picture import read_picture
    from napari_brgm.scans.record import record_of

    record, units, _ = record_of(path)
    if record is None:
        raise ScanError(f"there is no record beside {path.name}: it may be no result of this program")
    if record.get("role") == "variance" and str(units).startswith("colour"):
        raise ScanError(f"{path.name} has a page for each colour, which is no layer here")
    picture = read_picture(path)
    pixels = picture.pixels
    size = record.get("pixel_mm")
    known = isinstance(size, list) and len(size) == 2 and all(isinstance(one, int | float) and one > 0 for one in size)
    settings: dict[str, Any] = {
        "name": picture.name,
        "rgb": pixels.ndim == 3,
        "scale": [float(one) for one in size] if known and isinstance(size, list) else [1.0, 1.0],
        "units": ["mm" if known else "pixel"] * 2,
        "axis_labels": ["rows", "columns"],
        "metadata": {"scan": {"source": str(path), "units": units or "a.u."}, "brgm": record},
    }
    if pixels.ndim == 2:
        settings |= {"colormap": "gray", "contrast_limits": robust_limits(np.asarray(pixels))}
    return pixels, settings | result_settings(record, pixels, units or "", picture.name), "image"
