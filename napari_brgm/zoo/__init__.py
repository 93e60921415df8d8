"""Weights: which priors there are, safe reading and writing of their files, fetching and importing those of others."""

from __future__ import annotations

from napari_brgm.zoo.entry import Kind, PriorEntry
from napari_brgm.zoo.files import read_prior, sha256_of, write_prior
from napari_brgm.zoo.install import import_file
from napari_brgm.zoo.registry import (
    available_priors,
    catalogue,
    load_prior,
    published,
    registered,
    status_of,
    weights_folder,
)

__all__ = [
    "Kind", "PriorEntry", "available_priors", "catalogue", "import_file", "load_prior", "published", "read_prior",
    "registered", "sha256_of", "status_of", "weights_folder", "write_prior",
]  # fmt: skip
