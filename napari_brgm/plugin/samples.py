"""Sample data of the plugin: File > Open Sample."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from napari_brgm.plugin.scan_layers import image_layer, mask_layer
from napari_brgm.scans.samples import brain_slice, thick_brain_slice

if TYPE_CHECKING:
    import numpy.typing as npt

    LayerData = tuple[npt.NDArray[Any], dict[str, Any], str]

__all__ = ["brain_at_low_resolution", "brain_with_artefact"]


def brain_with_artefact() -> list[LayerData]:
    """Open one axial slice of the MNI152 brain, and strokes painted over it as if an artefact were there."""
    scan, mask = brain_slice()
    return [image_layer(scan), mask_layer(scan, mask, "artefact mask")]


def brain_at_low_resolution() -> list[LayerData]:
    """Open the same slice with pixels of 4 mm, for super-resolution."""
    return [image_layer(thick_brain_slice())]
