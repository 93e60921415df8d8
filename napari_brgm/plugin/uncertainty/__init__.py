"""Uncertainty: how far to trust each pixel of what was restored."""
