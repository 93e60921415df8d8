"""In-painting of the slices of a scan, to files."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from napari_brgm.cli.outputs import Outputs, derivative_name, json_name, stem_of
from napari_brgm.cli.restored_slice import RestoredSlice, Written, restore_slice, sidecar
from napari_brgm.cli.sheet import Panel, SheetRow, draw_sheet
from napari_brgm.corruptions import Mask
from napari_brgm.scans.export import write_nifti

if TYPE_CHECKING:
    from collections.abc import Mapping

    import numpy.typing as npt

    from napari_brgm.cli.restored_slice import Job
    from napari_brgm.scan import Plane, Scan

__all__ = ["inpaint_scan"]

_TASK = "brgmInpaint"
_SHEET_ROWS = 6


def inpaint_scan(
    scan: Scan,
    missing: Mapping[int, npt.NDArray[np.bool_]],
    plane: Plane,
    job: Job,
    truth: Mapping[int, npt.NDArray[np.float32]] | None = None,
    remark: str = "",
) -> Written:
    """Restore slices of a 3-D scan and write restored volume, variance, sheet, and the posterior of each slice.

    Parameters
    ----------
    missing : mapping of int to (H, W) bool array
        By slice index; true where missing.
    truth : mapping of int to (H, W) array, optional
        What the slices should be, for the sheet alone.
    remark : str
        At the end of the records' descriptions.

    Raises
    ------
    BrgmError
        As ``napari_brgm.restore``, or the results cannot be written; there are none then.
    """
    stem = stem_of(scan, job.sources[0])
    image, variance = (derivative_name(stem, _TASK + role, ".nii.gz") for role in ("", "Variance"))
    sheet = derivative_name(stem, f"{_TASK}Sheet", ".png")
    posteriors = {i: derivative_name(stem, f"{_TASK}{plane.capitalize()}{i:03d}", ".safetensors") for i in missing}
    names = [image, variance, sheet, *posteriors.values()]
    with Outputs(job.folder, [*names, json_name(image), json_name(variance)], job.overwrite) as out:
        slices = []
        for index, flags in missing.items():
            piece = scan.slice(plane, index)
            slices.append(restore_slice(piece, Mask(flags), job, out.path(posteriors[index])))
        restored, spread = scan, replace(scan, array=np.zeros(scan.shape, np.float32), units=f"{scan.units}^2")
        for one in slices:
            restored = restored.with_slice(one.piece, one.estimate)
            spread = spread.with_slice(one.piece, one.variance)
        texts = (
            "in-painted by a generative model; voxels outside the mask are as measured",
            "posterior variance of the in-painted voxels; 0 where measured",
        )
        for name, result, text in zip((image, variance), (restored, spread), texts, strict=True):
            record = sidecar(slices, job, description=text + remark, units=result.units)
            write_nifti(result, out.path(name), record)
        rows = [_row(one, missing[one.piece.index], truth or {}) for one in _spread_out(slices)]
        left_out = len(slices) - len(rows)
        more = f"; {left_out} more slices in the volume" if left_out else ""
        draw_sheet(out.path(sheet), rows, f"{scan.name or stem}, in-painted{more}", scan.units)
    return Written([job.folder / name for name in names], slices)


def _row(one: RestoredSlice, missing: npt.NDArray[np.bool_], truth: Mapping[int, npt.NDArray[np.float32]]) -> SheetRow:
    piece = one.piece
    panels = [
        Panel("original", truth.get(piece.index, piece.image), piece.spacing),
        Panel("corrupted", piece.image, piece.spacing, missing=missing),
        Panel("restored", one.estimate, piece.spacing),
    ]
    return SheetRow(f"{piece.plane} slice {piece.index}", panels, Panel("posterior std", one.std, piece.spacing))


def _spread_out(slices: list[RestoredSlice]) -> list[RestoredSlice]:
    if len(slices) <= _SHEET_ROWS:
        return slices
    return [slices[i] for i in np.linspace(0, len(slices) - 1, _SHEET_ROWS).round().astype(int)]
