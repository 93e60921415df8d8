"""A mask that lies where the other form of a NIfTI header has its scan (scans/nifti_place.py)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from napari.layers import Layer

__all__ = ["at_other_place"]


def at_other_place(mask: Layer, image: Layer) -> bool:
    """Whether a mask has the image's voxels in the image's order, and lies where the qform of one of them has it.

    Not where the two forms swap sides: the layers then show their voxels in different order.
    """
    of_mask, of_image = _record(mask), _record(image)
    if not (of_mask and of_image):
        return False
    from napari_brgm.scans.nifti_place import other_place, same_place  # with nibabel: 0.2 s when a dock opens

    orders = [np.linalg.solve(record["file_affine"], record["affine"]) for record in (of_mask, of_image)]
    if mask.data.shape != image.data.shape or not np.allclose(orders[0][:3, :3], orders[1][:3, :3], atol=0.1):
        return False
    ours, theirs = ([record["file_affine"], other_place(record.get("header"))] for record in (of_image, of_mask))
    shape = tuple(getattr(of_image.get("header"), "get_data_shape", lambda: image.data.shape)()[:3])
    return any(
        same_place(one, other, shape)
        for i, one in enumerate(ours)
        for j, other in enumerate(theirs)
        if i + j and one is not None and other is not None
    )


def _record(layer: Layer) -> dict[str, Any]:
    """What our readers noted of a layer's file; empty for layers of others."""
    record = layer.metadata.get("scan")
    placed = isinstance(record, dict) and all(
        np.shape(record.get(key, ())) == (4, 4) for key in ("affine", "file_affine")
    )
    return record if placed else {}
