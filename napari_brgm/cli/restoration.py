"""Slices of a scan restored to files: what ``inpaint``, ``superres``, ``clean`` and ``demo`` share.

All slices are one job, so that the prior is loaded onto the device once and a slice that cannot be restored costs only
itself. In-painting gives the volume with its restored pixels, the others a slice on a grid of its own; beside them lie
the variance, a record of each (JSON), the posterior of each slice (safetensors) and a sheet (PNG).
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import typer

from napari_brgm.cli.progress import slice_bar
from napari_brgm.cli.sheet import Panel, SheetRow, draw_sheet
from napari_brgm.engine.job import ObservedSlice
from napari_brgm.errors import InputError
from napari_brgm.scans.export import write_nifti
from napari_brgm.scans.outputs import Outputs, derivative_name, json_name, stem_of

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path

    import numpy.typing as npt

    from napari_brgm.cli.options import InferenceOptions
    from napari_brgm.corruptions import Corruption
    from napari_brgm.engine.restoration import Restoration
    from napari_brgm.priors.prior import Prior
    from napari_brgm.scan import Plane, Scan, ScanSlice

__all__ = ["ShellOutputs", "Treatment", "Written", "restore_scan"]

_SHEET_ROWS = 6
_NUMBER = re.compile(r"\d+(\.\d+)?")


class ShellOutputs(Outputs):
    """Write files into ``--out``: all of them or none, refused in words of the shell."""

    choose, allow = "choose another --out", "add --overwrite"
    writable = "choose an --out folder that can be written"


@dataclass(frozen=True, slots=True, eq=False)
class Treatment:
    """What happened to slices of a scan, what is done about it, and how the files say it.

    Attributes
    ----------
    name : str
        Of the files, such as 'brgmSuperres'.
    done : str
        Such as 'super-resolved'.
    corruptions : mapping of int to callable
        By slice index.
    missing : mapping of int to (H, W) bool array
        In-painting: true where missing. The results are then put back into the volume.
    factor : (float, float)
        Pixels of the result per pixel of the slice, rows and columns.
    noise_sigma : float or None
        In the scan's units.
    truth : mapping of int to (H', W') array
        What slices should become, for the sheet alone.
    given : str
        What the slice was, over its picture.
    remark : str
        At the end of the records' descriptions.
    notice : str
        Under the picture's title.
    """

    name: str
    done: str
    corruptions: Mapping[int, Callable[[], Corruption]]
    missing: Mapping[int, npt.NDArray[np.bool_]] = field(default_factory=dict)
    factor: tuple[float, float] = (1.0, 1.0)
    noise_sigma: float | None = None
    truth: Mapping[int, npt.NDArray[Any]] = field(default_factory=dict)
    given: str = "measured"
    remark: str = ""
    notice: str = "synthetic where restored, not for diagnosis"

    @property
    def texts(self) -> tuple[str, str]:
        """Descriptions of the image and of its variance."""
        if self.missing:
            return (
                f"{self.done} by a generative model; voxels outside the mask are as measured{self.remark}",
                f"posterior variance of the in-painted voxels; 0 where measured{self.remark}",
            )
        image, spread = f"{self.done} by a generative model", f"posterior variance of the slice, {self.done}"
        return f"{image}; {self.notice}", f"{spread}; {self.notice}"


@dataclass(frozen=True, slots=True, eq=False)
class Written:
    """Files of a finished job, the restored image first, and the slices in them with what is kept of each."""

    files: list[Path]
    slices: list[tuple[ScanSlice, Restoration]]

    def tell(self) -> None:
        """Print the notes of the slices to stderr, each sentence once, and the files to stdout."""
        tell_notes(self.slices)
        for file in self.files:
            typer.echo(file)


def restore_scan(
    scan: Scan, plane: Plane, what: Treatment, options: InferenceOptions, prior: Prior, out: Path,
    sources: Sequence[Path], *, volume: int | None = None, overwrite: bool = False,
) -> Written:  # fmt: skip
    """Restore slices of a 3-D scan, and write them.

    Parameters
    ----------
    out : Path
        Folder of the results.
    sources : sequence of Path
        The scan and what else was read, for names and records.
    volume : int or None
        Volume of a 4-D scan that this one was, for the records.

    Raises
    ------
    BrgmError
        As ``engine.run.run``, or the results cannot be written; there are none then.
    """
    from napari_brgm.engine.run import run

    pieces = [scan.slice(plane, index) for index in what.corruptions]
    titles = [f"{plane} slice {piece.index}" for piece in pieces]
    stem = stem_of(scan, sources[0])
    roles = ("", "Variance") if options.samples else ("",)
    volumes = [derivative_name(stem, what.name + role, ".nii.gz") for role in roles]
    sheet = derivative_name(stem, f"{what.name}Sheet", ".png")
    posteriors = [
        derivative_name(stem, f"{what.name}{plane.capitalize()}{piece.index:03d}", ".safetensors") for piece in pieces
    ]
    with ShellOutputs(out, [*volumes, sheet, *posteriors, *(json_name(name) for name in volumes)], overwrite) as files:

        def keep(number: int, result: Restoration) -> Restoration:
            result.save(files.path(posteriors[number]))
            return result.without_samples()

        observed = tuple(
            ObservedSlice(piece.image, corruption, piece.spacing, what.noise_sigma)
            for piece, corruption in zip(pieces, what.corruptions.values(), strict=True)
        )
        try:
            with slice_bar(titles) as tell:
                results = run(options.job(observed, prior), tell, keep)
        except InputError as error:
            raise InputError(f"{titles[0]}: {error}") from error
        done = []
        for piece, title, name, result in zip(pieces, titles, posteriors, results, strict=True):
            if isinstance(result, InputError):
                files.leave_out(name)
                typer.echo(f"note: {title} was left as it is: {result}", err=True)
            else:
                done.append((piece, result))
        images = _images(scan, what, done)
        for note in images[0].notes[len(scan.notes) :]:
            typer.echo(f"note: {note}", err=True)
        for name, text, written in zip(volumes, what.texts, images, strict=False):
            record = _sidecar(done, sources, volume, description=text, units=written.units)
            write_nifti(written, files.path(name), record)
        shown = [done[i] for i in np.linspace(0, len(done) - 1, min(_SHEET_ROWS, len(done))).round().astype(int)]
        more = f"; {len(done) - len(shown)} more slices in the volume" if len(shown) < len(done) else ""
        rows = [_row(piece, result, what) for piece, result in shown]
        draw_sheet(files.path(sheet), rows, f"{scan.name or stem}, {what.done}{more}", scan.units, what.notice)
        kept = [name for name in (*volumes, sheet, *posteriors) if name in files.names]
    return Written([out / name for name in kept], done)


def _images(scan: Scan, what: Treatment, done: Sequence[tuple[ScanSlice, Restoration]]) -> tuple[Scan, Scan]:
    """What is written: the volume with its restored pixels, or the one slice on its own grid; and the variance."""
    square = f"{scan.units}^2"
    if not what.missing:
        ((piece, result),) = done
        spread = piece.refined(result.variance, what.factor)
        return piece.refined(result.estimate, what.factor), replace(spread, units=square)
    nothing = replace(scan, array=np.zeros(scan.shape, np.float32), units=square)
    return (
        scan.with_slices((piece, result.estimate, ~what.missing[piece.index]) for piece, result in done),
        nothing.with_slices((piece, result.variance, None) for piece, result in done),
    )


def _sidecar(
    done: Sequence[tuple[ScanSlice, Restoration]], sources: Sequence[Path], volume: int | None, *, description: str,
    units: str,
) -> dict[str, Any]:  # fmt: skip
    """Record of an image file: what all its slices share at the top, the rest under 'slices'."""
    from napari_brgm.engine.provenance import shared_record

    shared, rest = shared_record([result.provenance for _, result in done])
    return {
        "Description": description,
        "Sources": [source.name for source in sources],
        "Units": units,
        "plane": done[0][0].plane,
        "volume": volume,
        **shared,
        "slices": [{"index": piece.index} | own for (piece, _), own in zip(done, rest, strict=True)],
    }


def _row(piece: ScanSlice, result: Restoration, what: Treatment) -> SheetRow:
    fine = (piece.spacing[0] / what.factor[0], piece.spacing[1] / what.factor[1])
    truth, missing = what.truth.get(piece.index), what.missing.get(piece.index)
    sizes = ("", "") if missing is not None else (f", {_pixel(piece.spacing)}", f", {_pixel(fine)}")
    panels = (
        [] if truth is None and missing is None else [Panel("original", piece.image if truth is None else truth, fine)]
    )
    heading = what.given if truth is None and missing is None else "corrupted"
    panels.append(Panel(heading + sizes[0], piece.image, piece.spacing, missing=missing))
    panels.append(Panel("restored" + sizes[1], result.estimate, fine))
    spread = Panel("posterior std", result.std, fine) if result.has_spread else None
    return SheetRow(f"{piece.plane} slice {piece.index}", panels, spread)


def _pixel(spacing: tuple[float, float]) -> str:
    return " x ".join(f"{side:.3g}" for side in spacing) + " mm"


def tell_notes(done: Sequence[tuple[ScanSlice, Restoration]]) -> None:
    """Print the notes of the slices' records, those that differ in their figures alone as one; last the intervals'."""
    told: dict[str, list[tuple[ScanSlice, str]]] = {}
    for piece, result in done:
        label = result.provenance.get("calibration", {}).get("label")
        for note in [*result.provenance["notes"], *([label] if label else [])]:
            told.setdefault(_NUMBER.sub("", note), []).append((piece, note))
    for alike in told.values():
        (first, note), others = alike[0], len(alike) - 1
        more = f", and alike for {others} more" if others else ""
        everywhere = len(alike) == len(done) and all(text == note for _, text in alike)
        where = f"{first.plane} slice {first.index}"
        typer.echo(f"note: {note}" if everywhere else f"note: {where}: {note}{more}", err=True)
