"""Thin slices from thick ones, of a whole scan: ``superres --slices``. What is written are volumes.

Samples go to disk slice by slice, and of each thin slice the rest alone stays in memory, which ``engine/need.py`` holds
against what is free before anything is restored.
"""

from __future__ import annotations

import time
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_brgm.cli.dicom_result import dicom_folder, write_dicom_result
from napari_brgm.cli.progress import slice_bar
from napari_brgm.cli.restoration import LONG, Written, image_record
from napari_brgm.cli.run_files import RunFiles, new_run
from napari_brgm.cli.scan_source import ScanSource
from napari_brgm.cli.sheet import draw_sheet
from napari_brgm.cli.shown_row import shown_row
from napari_brgm.cli.source import Result
from napari_brgm.cli.terminal import say, say_note
from napari_brgm.cli.treatment import Treatment
from napari_brgm.corruptions import Identity
from napari_brgm.engine.estimate import Work, estimated_seconds, in_words, learn
from napari_brgm.engine.head import Head
from napari_brgm.engine.job import ObservedSlice
from napari_brgm.engine.provenance import shared_record
from napari_brgm.engine.restoration import Restoration
from napari_brgm.engine.run_stack import why_not_thin
from napari_brgm.engine.thin_slices import ThinSlices
from napari_brgm.errors import InputError
from napari_brgm.scan import LEANING, lean_of
from napari_brgm.scans.export import write_nifti
from napari_brgm.scans.names import ESTIMATE, derivative_name, json_name
from napari_brgm.scans.slice_thickness import slice_thickness

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from napari_brgm.cli.options import InferenceOptions
    from napari_brgm.cli.source import Piece, Source
    from napari_brgm.cli.target import Target
    from napari_brgm.corruptions import Downsample
    from napari_brgm.priors.info import PriorInfo
    from napari_brgm.priors.prior import Prior
    from napari_brgm.scans.strip import Brain

__all__ = ["check_prior", "restore_thin", "thin_slices"]

_NAME = "brgmSuperres"
_THICKER = 1.2  # times the distance of the slices: what counts as thicker
_ROWS = 6  # of the sheet


def check_prior(options: InferenceOptions, prior: Prior) -> None:
    """Refuse a prior, method or preset that takes one slice at a time.

    Raises
    ------
    InputError
        Says what to choose.
    """
    if refused := why_not_thin(options.job((), prior), options.settings_for(prior)):
        raise InputError(refused)


def thin_slices(
    source: Source, prior: PriorInfo, factor: float, thickness: float | None
) -> tuple[ScanSource, ThinSlices]:  # fmt: skip
    """What the slices of a source become; how thick they are goes to stderr, where they have gaps or overlap.

    Parameters
    ----------
    factor : float
        Thin slices in a thick one.
    thickness : float or None
        mm; None: as the file says, else as far as they are apart.

    Raises
    ------
    InputError
        It has no slices one above the other in the prior's plane.
    """
    if not isinstance(source, ScanSource):
        raise InputError("--slices makes the slices of a volume thinner, and a picture is one slice; leave it out")
    name, plane, scan = source.label, source.plane, source.scan
    if source.count < 2:
        raise InputError(f"{name} is a single slice, and --slices takes a volume of them; leave --slices out")
    if prior.plane and plane != prior.plane:
        raise InputError(
            f"--slices makes thinner slices of {prior.plane} ones alone, which {prior.name} knows; leave --plane out"
        )
    across, spacing = scan.axis_across(plane), scan.spacing
    first = source.piece(0)
    assert first.spacing is not None and first.place is not None
    if spacing.max() > _THICKER * spacing[across]:
        way = f"{factor:g},1" if first.spacing[0] >= first.spacing[1] else f"1,{factor:g}"
        raise InputError(
            f"the thick slices of {name} are not {plane}, and {prior.name} knows {plane} ones; make them thinner in "
            f"{plane} planes across them, with --factor {way} in place of --slices"
        )
    degrees = lean_of(first.place.affine)
    if degrees > LEANING:
        raise InputError(
            f"the slices of {name} lean by {degrees:.0f} degrees against {plane} ones, which {prior.name} knows; "
            f"reformat them to {plane} slices first"
        )
    distance = source.distance
    if distance is None:
        raise InputError(f"the slices of {name} are shifted against each other; resample it to an upright stack first")
    told = slice_thickness(scan.header) if across == 2 else None
    thin = ThinSlices.of(source.count, distance, factor, told if thickness is None else thickness)
    if thickness is None and told is not None and thin.profile.width is not None:
        say_note(
            f"the slices are {told:.3g} mm thick and {distance:.3g} mm apart, as the file says; --thickness says "
            "otherwise"
        )
    return source, thin


def restore_thin(
    source: ScanSource, thin: ThinSlices, plane: Downsample | None, brain: Callable[[int], Brain] | None,
    options: InferenceOptions, prior: Prior, target: Target, read: Path,
) -> Written:  # fmt: skip
    """Make thin slices of the thick ones of a scan, and write them.

    Parameters
    ----------
    plane : Downsample or None
        What happened in the plane too; None: nothing.
    brain : callable or None
        Of a whole head: gives the brain (H, W) of a thick slice by its index. Outside it each thin slice holds the
        values of the thick one.
    read : Path
        The scan's file.

    Raises
    ------
    BrgmError
        As ``engine.run.run``, some of what the prior sees are no numbers, or the results cannot be written; there are
        none then.
    """
    from napari_brgm.engine.run import run

    thick = [source.piece(i) for i in range(source.count)]
    pieces = [_thin_piece(thick[thin.holder(i)], i) for i in range(thin.count)]
    corruption = Identity() if plane is None else plane
    factor = (1.0, 1.0) if plane is None else (float(plane.factor[0]), float(plane.factor[1]))
    heads = None if brain is None else [Head(piece.image, brain(piece.index)) for piece in thick]
    seen = [piece.image for piece in thick] if heads is None else [head.stripped for head in heads]
    if holed := next((piece for piece, image in zip(thick, seen, strict=True) if not np.isfinite(image).all()), None):
        where = "" if heads is None else " inside the brain"
        raise InputError(f"{holed.title} of {source.label} holds NaN or infinite voxels{where}; clean the scan first")
    slices = tuple(
        ObservedSlice(image, lambda: corruption, piece.spacing) for piece, image in zip(thick, seen, strict=True)
    )
    job = options.job(slices, prior, thin.stack())
    what = Treatment(_NAME, "super-resolved", {}, factor=factor)
    images = [derivative_name(source.stem, _NAME + role, ".nii.gz") for role in (ESTIMATE, "Variance", "Samples")]
    posterior = derivative_name(source.stem, f"{_NAME}Thin", ".safetensors")
    sheet = derivative_name(source.stem, f"{_NAME}Sheet", ".png")
    dicom = dicom_folder(source, what)
    names = [*images, *map(json_name, images), posterior, sheet, *([] if dicom is None else [dicom])]
    with target.opened(names, [read]) as (files, _):
        for name in images[1:] if not job.draws else ():
            files.do_without(name)
            files.do_without(json_name(name))
        scratch = files.path(images[2]).with_suffix(".raw") if job.draws else None
        volume = _Volume(thin.count, corruption.image_shape(thick[0].image.shape[:2]), job.draws, scratch)

        def keep(number: int, result: Restoration) -> Restoration:
            return volume.keep(number, result if heads is None else heads[thin.holder(number)].beside(result))

        work = Work.of(job, [piece.image.shape[:2] for piece in thick])
        if (expected := estimated_seconds(work)) > LONG:
            say(f"this takes {in_words(expected)}, as far as is known of {prior.info.name} here", err=True)
        began = time.monotonic()
        with slice_bar([piece.title for piece in pieces]) as tell:
            results = run(job, tell, keep)
        learn(work, time.monotonic() - began)
        done = []
        for piece, result in zip(pieces, results, strict=True):
            if isinstance(result, InputError):
                raise InputError(f"{piece.title}: {result}") from result
            record = result.provenance | {"corruption": thin.describe(corruption)}
            done.append(Result(piece, replace(result, provenance=record), None, factor))
        volume.whole([one.restored for one in done]).save(files.path(posterior))
        finer = (thin.factor, *factor)
        held: list[tuple[Any, str, str]] = [(volume.estimate, what.texts[0], source.units)]
        if volume.samples is not None:
            held.append((volume.variance, what.texts[1], f"{source.units}^2"))
            held.append((volume.samples, f"posterior samples: {what.texts[0]}", source.units))
        group = RunFiles.of(new_run(), what, source, finer, images[: len(held)])
        for name, (array, text, units) in zip(images, held, strict=False):
            record = image_record(source, done, {}, what, [read], text, units) | group.record(name)
            fine = source.scan.refined(source.plane, array, finer)
            write_nifti(replace(fine, units=units), files.path(name), record)
            if dicom is not None and array is volume.estimate:
                free, varied = (
                    source.scan.refined(source.plane, one, finer).array for one in (~volume.measured, volume.variance)
                )
                std = np.sqrt(varied) if job.draws else None
                if not write_dicom_result(source, fine, std, free, record, files.path(dicom)):
                    files.do_without(dicom)
        if scratch is not None:
            scratch.unlink()
        rows = [done[i] for i in np.linspace(0, len(done) - 1, min(_ROWS, len(done))).round().astype(int)]
        title = f"{source.name}, {thin.factor:g} thin slices of each thick one; {len(done)} in the volume"
        draw_sheet(files.path(sheet), [shown_row(one, what) for one in rows], title, source.units, what.notice)
        kept = [target.folder / name for name in (*images, sheet, posterior) if name in files.names]
        folder = target.folder / dicom if dicom is not None and dicom in files.names else None
    return Written(kept, [(one.piece, one.restored) for one in done], dicom=folder)


class _Volume:
    """Thin slices as they come, in display orientation; samples in a file.

    Attributes
    ----------
    estimate, mean, variance : (K, H, W) float32 ndarray
    measured : (K, H, W) bool ndarray
    samples : (S, K, H, W) float32 memmap or None
    """

    def __init__(self, count: int, plane: tuple[int, int], draws: int, scratch: Path | None) -> None:
        shape = (count, *plane)
        self.estimate, self.mean, self.variance = (np.zeros(shape, np.float32) for _ in range(3))
        self.measured = np.zeros(shape, dtype=bool)
        self.widths: Any = None
        self.samples = None if scratch is None else np.memmap(scratch, np.float32, "w+", shape=(draws, *shape))

    def keep(self, number: int, result: Restoration) -> Restoration:
        """Take a slice in, and give it back with views of what was taken."""
        self.estimate[number], self.mean[number] = result.estimate, result.mean
        self.variance[number], self.measured[number] = result.variance, result.measured
        if result.widths is not None:
            if self.widths is None:
                self.widths = np.ones((len(result.widths), *self.estimate.shape), np.float32)
            self.widths[:, number] = result.widths
        if self.samples is not None:
            self.samples[:, number] = result.samples
        return replace(
            result, estimate=self.estimate[number], mean=self.mean[number], variance=self.variance[number],
            samples=result.samples[:0].copy(), widths=None if result.widths is None else self.widths[:, number],
        )  # fmt: skip

    def whole(self, slices: list[Restoration]) -> Restoration:
        """All of it as one restoration, whose samples are kept elsewhere."""
        shared, rest = shared_record([one.provenance for one in slices])
        notes = list(dict.fromkeys(note for one in slices for note in one.provenance["notes"]))
        record = shared | {"notes": notes, "slices": [{"index": i} | own for i, own in enumerate(rest)]}
        record |= {"calibration": slices[0].provenance["calibration"], "samples": slices[0].provenance["samples"]}
        shape = self.estimate.shape
        return Restoration(
            self.estimate, self.mean, self.variance, np.empty((0, *shape), np.float32),
            np.stack([one.latents for one in slices]), self.measured, slices[0].trace, record, self.widths,
        )  # fmt: skip


def _thin_piece(thick: Piece, index: int) -> Piece:
    """A thin slice, shown beside the thick one that holds its middle; it has no place among those of the scan."""
    return replace(thick, title=f"thin slice {index}", tag=f"Thin{index:03d}", index=index, place=None)
