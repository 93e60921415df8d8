"""shown_row(): a restored slice as a row of a sheet."""

from __future__ import annotations

from typing import TYPE_CHECKING

from napari_brgm.cli.sheet import SheetImage, SheetRow

if TYPE_CHECKING:
    from napari_brgm.cli.source import Result
    from napari_brgm.cli.treatment import Treatment

__all__ = ["shown_row"]


def shown_row(one: Result, what: Treatment) -> SheetRow:
    """Row of a sheet: the slice as it was, as it was given and restored, and its spread."""
    piece, result = one.piece, one.restored
    spacing = piece.spacing or (1.0, 1.0)
    fine = (spacing[0] / what.factor[0], spacing[1] / what.factor[1])
    truth, missing = what.truth.get(piece.index), one.missing
    sizes = ("", "")
    if missing is None and piece.spacing is not None:
        sizes = (f", {_pixel(spacing)}", f", {_pixel(fine)}")
    panels = (
        []
        if truth is None and missing is None
        else [SheetImage("original", piece.image if truth is None else truth, fine)]
    )
    heading = what.given if truth is None and missing is None else "corrupted"
    panels.append(SheetImage(heading + sizes[0], piece.image, spacing, missing=missing))
    panels.append(SheetImage("restored" + sizes[1], result.estimate, fine))
    spread = SheetImage("posterior std", result.std, fine) if result.has_spread else None
    return SheetRow(piece.title, panels, spread, "mm" if piece.spacing else "pixels")


def _pixel(spacing: tuple[float, float]) -> str:
    return " x ".join(f"{side:.3g}" for side in spacing) + " mm"
