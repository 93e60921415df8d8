"""Training data: images, NIfTI volumes and DICOM series -> slices in a generator's frame."""

from napari_brgm.datasets.cache import cached
from napari_brgm.datasets.framing import Framing
from napari_brgm.datasets.read import holds_images, read_slices
from napari_brgm.datasets.slice_set import SliceSet

__all__ = ["Framing", "SliceSet", "cached", "holds_images", "read_slices"]
