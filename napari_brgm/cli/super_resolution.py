"""Super-resolution of one slice of a scan, to files."""

from __future__ import annotations

from typing import TYPE_CHECKING

from napari_brgm.cli.outputs import Outputs, derivative_name, json_name, stem_of
from napari_brgm.cli.restored_slice import Written, restore_slice, sidecar
from napari_brgm.cli.sheet import Panel, SheetRow, draw_sheet
from napari_brgm.scans.export import write_nifti

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    from napari_brgm.cli.restored_slice import Job
    from napari_brgm.corruptions import Downsample
    from napari_brgm.scan import Plane, Scan

__all__ = ["superres_slice"]

_TASK = "brgmSuperres"


def superres_slice(
    scan: Scan,
    plane: Plane,
    index: int,
    corruption: Downsample,
    job: Job,
    truth: npt.NDArray[np.float32] | None = None,
) -> Written:
    """Restore one slice of a 3-D scan on a finer grid and write the slice, its variance, the sheet and the posterior.

    Parameters
    ----------
    truth : (H', W') array, optional
        What the finer slice should be, for the sheet alone.

    Raises
    ------
    BrgmError
        As ``napari_brgm.restore``, or the results cannot be written; there are none then.
    """
    piece = scan.slice(plane, index)
    factor = float(corruption.factor[0]), float(corruption.factor[1])
    stem = stem_of(scan, job.sources[0])
    image, variance = (derivative_name(stem, _TASK + role, ".nii.gz") for role in ("", "Variance"))
    sheet = derivative_name(stem, f"{_TASK}Sheet", ".png")
    posterior = derivative_name(stem, f"{_TASK}{plane.capitalize()}{index:03d}", ".safetensors")
    names = [image, variance, sheet, posterior]
    with Outputs(job.folder, [*names, json_name(image), json_name(variance)], job.overwrite) as out:
        one = restore_slice(piece, corruption, job, out.path(posterior))
        texts = ("super-resolved by a generative model", "posterior variance of the super-resolved slice")
        units = (scan.units, f"{scan.units}^2")
        for name, result, text, unit in zip((image, variance), (one.estimate, one.variance), texts, units, strict=True):
            record = sidecar([one], job, description=text, units=unit)
            write_nifti(piece.refined(result, factor), out.path(name), record)
        fine = (piece.spacing[0] / factor[0], piece.spacing[1] / factor[1])
        panels = [] if truth is None else [Panel("original", truth, fine)]
        heading = "measured" if truth is None else "corrupted"
        panels += [Panel(f"{heading}, {_pixel(piece.spacing)}", piece.image, piece.spacing)]
        panels += [Panel(f"restored, {_pixel(fine)}", one.estimate, fine)]
        row = SheetRow(f"{plane} slice {index}", panels, Panel("posterior std", one.std, fine))
        draw_sheet(out.path(sheet), [row], f"{scan.name or stem}, super-resolved", scan.units)
    return Written([job.folder / name for name in names], [one])


def _pixel(spacing: tuple[float, float]) -> str:
    return " x ".join(f"{side:.3g}" for side in spacing) + " mm"
