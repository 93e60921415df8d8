"""Layers of the viewer -> files and the job file that names them, below the folder of the results.

<out>/layers/job.csv, NAME.nii.gz, NAME_mask.nii.gz
"""

from __future__ import annotations

import csv
from typing import TYPE_CHECKING

import numpy as np
from napari.layers import Image, Labels

from napari_brgm.errors import InputError, OutputError
from napari_brgm.plugin.layers.file_names import source_name
from napari_brgm.plugin.layers.saving import write_image
from napari_brgm.plugin.layers.scans import scan_of
from napari_brgm.plugin.layers.shown import check_mask, stored
from napari_brgm.reason import reason_of
from napari_brgm.scans.export import write_nifti
from napari_brgm.scans.staging import PRIVATE_FILE, PRIVATE_FOLDER

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from napari.components import ViewerModel

__all__ = ["layers_for", "write_layer_job"]

_FOLDER, _JOB = "layers", "job.csv"


def layers_for(viewer: ViewerModel, *, masked: bool) -> list[tuple[Image, Labels | None]]:
    """Image layers that are no results, each with its mask where masks are wanted; those without one are left out.

    A mask lies on the grid of its image; where several images have that grid, one that is called after an image is of
    that image.

    Raises
    ------
    InputError
        There are none, or an image has several masks.
    """
    results = [layer for layer in viewer.layers if isinstance(layer.metadata.get("brgm"), dict)]
    images = [layer for layer in viewer.layers if isinstance(layer, Image) and layer not in results]
    if not images:
        raise InputError("there is no image layer to restore; open some scans first")
    if not masked:
        return [(image, None) for image in images]
    labels = [layer for layer in viewer.layers if isinstance(layer, Labels) and layer not in results]
    found: list[tuple[Image, Labels | None]] = []
    for image in images:
        masks = [mask for mask in labels if _fits(image, mask) and _meant(mask, images) in (None, image)]
        own = [mask for mask in masks if _meant(mask, images) is image]
        masks = own or masks
        if len(masks) > 1:
            names = ", ".join(f"'{mask.name}'" for mask in masks)
            raise InputError(f"'{image.name}' has several masks ({names}); merge them into one layer")
        if masks:
            found.append((image, masks[0]))
    if not found:
        raise InputError("no image layer has a mask on its grid; paint over the artefacts first")
    return found


def write_layer_job(
    pairs: Sequence[tuple[Image, Labels | None]], out: Path, tell: Callable[[str, int, int | None], None]
) -> Path:
    """Write images, masks and the job file, in place of earlier ones.

    Raises
    ------
    BrgmError
        A layer is no scan, or the folder cannot be written.
    """
    folder = out / _FOLDER
    try:
        folder.mkdir(PRIVATE_FOLDER, parents=True, exist_ok=True)
    except OSError as error:
        raise OutputError(f"cannot write into {out}: {reason_of(error)}; choose another folder") from error
    rows: list[dict[str, str]] = []
    for number, (image, mask) in enumerate(pairs):
        tell(f"writing '{image.name}'", number, len(pairs))
        name, copy = source_name(image), 2
        while any(row["name"].lower() == name.lower() for row in rows):
            name, copy = f"{source_name(image)}-{copy}", copy + 1
        files = {"scan": f"{name}.nii.gz", "mask": "" if mask is None else f"{name}_mask.nii.gz"}
        write_image(image, scan_of(image), folder / files["scan"], overwrite=True)
        if mask is not None:
            painted = (np.asarray(stored(mask)) != 0).astype(np.uint8)
            write_nifti(scan_of(image, painted), folder / files["mask"], overwrite=True)
        rows.append({**files, "name": name})
    try:
        job = folder / _JOB
        job.touch(PRIVATE_FILE)
        with job.open("w", encoding="utf-8", newline="") as stream:
            writer = csv.DictWriter(stream, ("scan", "mask", "name"))
            writer.writeheader()
            writer.writerows(rows)
    except OSError as error:
        raise OutputError(f"cannot write into {folder}: {reason_of(error)}; choose another folder") from error
    return job


def _fits(image: Image, mask: Labels) -> bool:
    if stored(mask).shape != stored(image).shape:
        return False
    try:
        check_mask(image, mask)
    except InputError:
        return False
    return True


def _meant(mask: Labels, images: Sequence[Image]) -> Image | None:
    """The image that a mask is called after; of several the one of the longest name."""
    called = [image for image in images if mask.name.startswith(image.name)]
    return max(called, key=lambda image: len(image.name), default=None)
