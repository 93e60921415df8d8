"""The shell: ``napari-brgm`` and ``python -m napari_brgm``. No Qt here: ``demo`` opens napari as a process."""

from napari_brgm.cli.app import app, main

__all__ = ["app", "main"]
