"""Layers and files: slices, planes and geometry of layers, results as layers, readers, writers and samples."""
