"""Trustworthy generative restoration of medical images (BRGM, arXiv 2012.04567) for napari, Python and the shell."""

from __future__ import annotations

__version__ = "0.1.0"
