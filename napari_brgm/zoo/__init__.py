"""Weights: which priors there are, and safe reading and writing of their files."""

from __future__ import annotations

from napari_brgm.zoo.files import read_prior, sha256_of, write_prior
from napari_brgm.zoo.registry import available_priors, load_prior, registered, weights_folder

__all__ = ["available_priors", "load_prior", "read_prior", "registered", "sha256_of", "weights_folder", "write_prior"]
