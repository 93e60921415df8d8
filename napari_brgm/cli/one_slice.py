"""One slice of a scan restored to files: the slice and its variance as 2-D images, the posterior and the sheet."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from napari_brgm.cli.outputs import Outputs, derivative_name, json_name, stem_of
from napari_brgm.cli.restored_slice import Written, restore_slice, sidecar
from napari_brgm.cli.sheet import Panel, SheetRow, draw_sheet
from napari_brgm.scans.export import write_nifti

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    from napari_brgm.cli.restored_slice import Job
    from napari_brgm.corruptions import Corruption
    from napari_brgm.scan import Plane, Scan

__all__ = ["Task", "restore_one"]


@dataclass(frozen=True, slots=True)
class Task:
    """What is done to the slice, and how its files say it.

    Attributes
    ----------
    name : str
        Of the files, such as 'brgmSuperres'.
    done : str
        Such as 'super-resolved'.
    factor : (float, float)
        Pixels of the result per pixel of the slice, rows and columns.
    noise_sigma : float or None
        In the scan's units.
    given : str
        What the slice was, over its picture.
    notice : str
        Under the picture's title and at the end of the records' descriptions.
    """

    name: str
    done: str
    corruption: Corruption
    factor: tuple[float, float] = (1.0, 1.0)
    noise_sigma: float | None = None
    given: str = "measured"
    notice: str = "synthetic where restored, not for diagnosis"


def restore_one(
    scan: Scan, plane: Plane, index: int, task: Task, job: Job, truth: npt.NDArray[np.float32] | None = None
) -> Written:
    """Restore one slice of a 3-D scan and write the slice, its variance, the sheet and the posterior.

    Parameters
    ----------
    truth : (H', W') array, optional
        What the slice should become, for the sheet alone.

    Raises
    ------
    BrgmError
        As ``napari_brgm.restore``, or the results cannot be written; there are none then.
    """
    piece = scan.slice(plane, index)
    stem = stem_of(scan, job.sources[0])
    image, variance = (derivative_name(stem, task.name + role, ".nii.gz") for role in ("", "Variance"))
    sheet = derivative_name(stem, f"{task.name}Sheet", ".png")
    posterior = derivative_name(stem, f"{task.name}{plane.capitalize()}{index:03d}", ".safetensors")
    names = [image, variance, sheet, posterior]
    with Outputs(job.folder, [*names, json_name(image), json_name(variance)], job.overwrite) as out:
        one = restore_slice(piece, task.corruption, job, out.path(posterior), task.noise_sigma)
        texts = (f"{task.done} by a generative model", f"posterior variance of the slice, {task.done}")
        units = (scan.units, f"{scan.units}^2")
        for name, result, text, unit in zip((image, variance), (one.estimate, one.variance), texts, units, strict=True):
            record = sidecar([one], job, description=f"{text}; {task.notice}", units=unit)
            write_nifti(piece.refined(result, task.factor), out.path(name), record)
        fine = (piece.spacing[0] / task.factor[0], piece.spacing[1] / task.factor[1])
        panels = [] if truth is None else [Panel("original", truth, fine)]
        heading = task.given if truth is None else "corrupted"
        panels += [Panel(f"{heading}, {_pixel(piece.spacing)}", piece.image, piece.spacing)]
        panels += [Panel(f"restored, {_pixel(fine)}", one.estimate, fine)]
        row = SheetRow(f"{plane} slice {index}", panels, Panel("posterior std", one.std, fine))
        draw_sheet(out.path(sheet), [row], f"{scan.name or stem}, {task.done}", scan.units, task.notice)
    return Written([job.folder / name for name in names], [one])


def _pixel(spacing: tuple[float, float]) -> str:
    return " x ".join(f"{side:.3g}" for side in spacing) + " mm"
