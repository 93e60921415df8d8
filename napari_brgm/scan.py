"""Scan: an image volume with its place in the world. The one data noun of the package."""

from __future__ import annotations
