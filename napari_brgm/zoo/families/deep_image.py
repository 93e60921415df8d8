"""The family of the deep image prior: no files, one built-in prior."""

from __future__ import annotations

from napari_brgm.priors.deep_image import DeepImagePrior
from napari_brgm.zoo.entry import Kind, PriorEntry
from napari_brgm.zoo.family import Family

__all__ = ["FAMILY"]

_ENTRY = PriorEntry(
    "deep-image", Kind.builtin, title="Deep image prior: an untrained network, for images that no prior was trained on",
    modality="any", format="", family="deep-image", preset="untrained", rank=9,
    citation="Ulyanov, Vedaldi, Lempitsky: Deep Image Prior, arXiv 1711.10925",
)  # fmt: skip

FAMILY = Family("deep-image", builtin=(_ENTRY,), make=lambda name: DeepImagePrior())
