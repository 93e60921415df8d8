"""Slices of a scan restored to files: what ``inpaint``, ``superres``, ``clean``, ``try`` and ``demo`` share.

All slices are one job, so that the prior is loaded onto the device once and a slice that cannot be restored costs only
itself. The restored image and its variance become files of the source's kind; beside them lie a record of each (JSON),
the posterior of each slice (safetensors), a sheet (PNG) and, on request, the descent as an animation.
"""

from __future__ import annotations

import re
import time
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_brgm.cli.dicom_result import write_dicom_result
from napari_brgm.cli.kept import JOB_KEY, RESULTS_KEY, KeptSlices, made_before, run_of
from napari_brgm.cli.progress import slice_bar
from napari_brgm.cli.result_names import ResultNames
from napari_brgm.cli.run_files import RunFiles, new_run
from napari_brgm.cli.scan_source import ScanSource
from napari_brgm.cli.sheet import draw_sheet
from napari_brgm.cli.shown_row import shown_row
from napari_brgm.cli.source import Result
from napari_brgm.cli.terminal import say, say_note, say_path
from napari_brgm.cli.trial_errors import errors_of, errors_text
from napari_brgm.cli.where import engine_at, is_address
from napari_brgm.engine.estimate import Work, estimated_seconds, in_words, learn
from napari_brgm.engine.job import ObservedSlice
from napari_brgm.errors import InputError
from napari_brgm.scans.fingerprint import sha256_of
from napari_brgm.scans.names import json_name
from napari_brgm.text import plain_text

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path

    from napari_brgm.cli.descent import DescentVideo
    from napari_brgm.cli.options import InferenceOptions
    from napari_brgm.cli.regions import RegionTable
    from napari_brgm.cli.source import Piece, Source
    from napari_brgm.cli.target import ShellOutputs, Target
    from napari_brgm.cli.treatment import Treatment
    from napari_brgm.cli.where import Engine
    from napari_brgm.engine.head import Head
    from napari_brgm.engine.job import Job
    from napari_brgm.engine.restoration import Restoration
    from napari_brgm.inference import Step
    from napari_brgm.priors.prior import Prior

__all__ = ["LONG", "Written", "image_record", "restore_source", "tell_notes"]

_SHEET_ROWS = 6
LONG = 60.0  # seconds from which on it is told how long a run takes
_NONE: Mapping[int, str] = {}
_NUMBER = re.compile(r"\d+(\.\d+)?")


@dataclass(frozen=True, slots=True, eq=False)
class Written:
    """Files of a finished job, the restored image first; the slices in them, how wrong those of a trial are, and the
    folder of the result as DICOM.
    """

    files: list[Path]
    slices: list[tuple[Piece, Restoration]]
    errors: list[str] = field(default_factory=list)
    dicom: Path | None = None

    def tell(self) -> None:
        """Print the notes of the slices to stderr, each sentence once, and errors; the files to stdout."""
        tell_notes(self.slices)
        for line in self.errors[:_SHEET_ROWS]:
            say(line, err=True)
        if len(self.errors) > _SHEET_ROWS:
            say(f"and {len(self.errors) - _SHEET_ROWS} slices more, in the record", err=True)
        for file in [*self.files, *([] if self.dicom is None else [self.dicom])]:
            say_path(file)


def restore_source(
    source: Source, what: Treatment, options: InferenceOptions, prior: Prior, target: Target, read: Sequence[Path],
    regions: RegionTable | None = None,
) -> Written:  # fmt: skip
    """Restore slices of a source, and write them.

    Parameters
    ----------
    read : sequence of Path
        The source's file, first, and what else was read, for the records.
    regions : RegionTable, optional
        Whose figures are written as a table.

    Raises
    ------
    BrgmError
        As ``engine.run.run``, or the results cannot be written; there are none then.
    """
    from napari_brgm.cli.kept_run import key_of_job

    pieces = [what.piece(source, index) for index in what.corruptions]
    if target.video is not None and len(pieces) > 1:
        raise InputError(f"--save-video shows one slice and {len(pieces)} are to be restored; choose one with --index")
    heads = [what.head(piece) for piece in pieces]
    job = _job(source, what, options, prior, pieces, heads)
    inputs = [
        {"name": plain_text(name), "sha256": sha256_of(path)}
        for name, path in zip([source.label, *(path.name for path in read[1:])], read, strict=True)
    ]
    address = options.device if is_address(options.device) else ""
    key = key_of_job(job, what, source, inputs, regions, address)
    names = ResultNames.of(source, what, pieces, spread=bool(job.draws), regions=regions is not None)
    there, whole = made_before(target.folder, names, key) if target.resume else ([], False)
    if whole and not target.overwrite:
        beside = names.dicom is not None and (target.folder / names.dicom).is_dir()
        return Written(there, [], dicom=target.folder / str(names.dicom) if beside else None)
    engine = engine_at(options.device, options.prior)
    run = _Run(source, what, job, pieces, heads, names, run_of(key) if target.resume else new_run(), engine, address)
    about = {"inputs": inputs, JOB_KEY: key}
    with ExitStack() as stack:
        alone = stack.enter_context(ExitStack())  # holds until all is in its place that no other process writes it
        kept = stack.enter_context(KeptSlices(target.folder, key).until_written()) if target.resume else None
        files, video = stack.enter_context(target.opened(names.every, read, again=bool(there)))
        for name in names.none:
            files.do_without(name)
            files.do_without(json_name(name))
        descent = None if video is None else _descent(pieces[0], heads[0], what)
        results = run.restored(files, kept, descent)
        if kept is not None:
            alone.enter_context(kept.writing())
        done, lines = run.written(results, files, kept, read, about, regions)
        if descent is not None and video is not None:
            descent.save(video, done[0].restored.estimate)
        shown = [target.folder / name for name in names.told if name in files.names]
        dicom = target.folder / names.dicom if names.dicom is not None and names.dicom in files.names else None
    animation = [] if target.video is None else [target.video]
    return Written([*shown, *animation], [(one.piece, one.restored) for one in done], lines, dicom)


def _job(
    source: Source, what: Treatment, options: InferenceOptions, prior: Prior, pieces: Sequence[Piece],
    heads: Sequence[Head | None],
) -> Job:  # fmt: skip
    given = [
        ObservedSlice(piece.image, corruption, piece.spacing, what.noise_sigma, what.second.get(piece.index))
        for piece, corruption in zip(pieces, what.corruptions.values(), strict=True)
    ]
    observed = tuple(one if head is None else head.observed(one) for one, head in zip(given, heads, strict=True))
    return options.job(observed, prior, None if what.alone else source.stack(pieces, what.seen(source), what.spoilt))


@dataclass(frozen=True, slots=True, eq=False)
class _Run:
    """One job, and how its results become files.

    Attributes
    ----------
    heads : list of Head or None
        Of the pieces; None: the slice is restored as it is.
    name : str
        What tells the run from others.
    engine : callable
        Runs the job.
    address : str
        Of the scheduler whose workers do it; '': this machine.
    """

    source: Source
    what: Treatment
    job: Job
    pieces: list[Piece]
    heads: list[Head | None]
    names: ResultNames
    name: str
    engine: Engine
    address: str

    def restored(
        self, files: ShellOutputs, kept: KeptSlices | None, descent: DescentVideo | None
    ) -> list[Restoration | InputError]:  # fmt: skip
        """What becomes of each piece, without samples, which are on the disk by then."""
        from napari_brgm.cli.kept_run import kept_run

        def keep(number: int, result: Restoration) -> Restoration:
            result = self._whole(number, result)
            result.save(files.path(self.names.posteriors[number]))
            return result.without_samples()

        titles = [piece.title for piece in self.pieces]
        work = Work.of(self.job, [piece.image.shape[:2] for piece in self.pieces])
        if not self.address and (expected := estimated_seconds(work)) > LONG:
            say(f"this takes {in_words(expected)}, as far as is known of {self.job.prior.info.name} here", err=True)
        began = time.monotonic()
        try:
            with slice_bar(titles) as tell:
                if kept is not None:
                    return kept_run(self.job, kept, tell, self._whole, self.engine)
                results = self.engine(_shown_often(self.job) if descent else self.job, _both(tell, descent), keep)
        except InputError as error:
            raise InputError(f"{titles[0]}: {error}") from error
        if not self.address:
            learn(work, time.monotonic() - began)
        return results

    def _whole(self, number: int, result: Restoration) -> Restoration:
        head = self.heads[number]
        result = result if head is None else head.beside(result)
        return replace(result, provenance=dict(result.provenance) | {"run": self.name})

    def written(
        self, results: Sequence[Restoration | InputError], files: ShellOutputs, kept: KeptSlices | None,
        read: Sequence[Path], about: dict[str, Any], regions: RegionTable | None,
    ) -> tuple[list[Result], list[str]]:  # fmt: skip
        """Write all files but posteriors that ``restored`` wrote; what was restored, and lines on errors of a trial."""
        source, what, names, spread = self.source, self.what, self.names, bool(self.job.draws)
        done, left = self._sorted(results, files, kept)
        posteriors = [names.posteriors[self.pieces.index(one.piece)] for one in done]
        errors = {
            one.piece.index: errors_of(one.restored.estimate, what.truth[one.piece.index], one.missing)
            for one in done
            if one.piece.index in what.truth
        }
        places = [(name, source.place(one)) for name, one in zip(posteriors, done, strict=True)]
        planes = [(name, place) for name, place in places if spread and place is not None]
        group = RunFiles.of(self.name, what, source, what.factor, names.images, planes)
        about = about | {RESULTS_KEY: [name for name in files.names if name != names.dicom]}
        written = [
            (
                files.path(name),
                image_record(source, done, errors, what, read, text, units, left) | about | group.record(name),
            )
            for name, text, units in zip(names.images, what.texts, (source.units, f"{source.units}^2"), strict=False)
        ]
        if regions is not None:
            drawn = {one.piece.index: files.path(name) for one, name in zip(done, posteriors, strict=True)}
            regions.write(files.path(names.table[0]), drawn)
        source.write(done, written[0], written[1] if spread else None)
        if names.dicom is not None and isinstance(source, ScanSource):
            image, varied, synthetic = source.restored(done)
            std = np.sqrt(varied.array) if spread else None
            if not write_dicom_result(source, image, std, synthetic, written[0][1], files.path(names.dicom)):
                files.do_without(names.dicom)
        shown = [done[i] for i in np.linspace(0, len(done) - 1, min(_SHEET_ROWS, len(done))).round().astype(int)]
        more = f"; {len(done) - len(shown)} more slices in the volume" if len(shown) < len(done) else ""
        title = f"{source.name}, {what.done}{more}"
        draw_sheet(files.path(names.sheet), [shown_row(one, what) for one in shown], title, source.units, what.notice)
        lines = [f"{one.piece.title}: {errors_text(errors[one.piece.index], source.units)}" for one in done if errors]
        return done, lines

    def _sorted(
        self, results: Sequence[Restoration | InputError], files: ShellOutputs, kept: KeptSlices | None
    ) -> tuple[list[Result], dict[int, str]]:  # fmt: skip
        """What was restored, its posterior among the files; and why other slices were not, which is told."""
        done, left = [], {}
        for number, (piece, head, result) in enumerate(zip(self.pieces, self.heads, results, strict=True)):
            name = self.names.posteriors[number]
            if isinstance(result, InputError):
                files.leave_out(name)
                say_note(f"{piece.title} was left as it is: {result}")
                left[piece.index] = str(result)
                continue
            if kept is not None:
                kept.put(number, files.path(name))
            missing = self.what.missing.get(piece.index) if head is None else head.hole
            done.append(Result(piece, result, missing, self.what.factor))
        return done, left


def _descent(piece: Piece, head: Head | None, what: Treatment) -> DescentVideo:
    from napari_brgm.cli.descent import DescentVideo

    given, notice = ("corrupted", "a trial, not for diagnosis") if what.trial else (what.given, "not for diagnosis")
    return DescentVideo(piece, what.missing.get(piece.index), given, notice, None if head is None else head.shown)


def _shown_often(job: Job) -> Job:
    """The same job with as many previews as an animation holds; they change nothing in its results."""
    from napari_brgm.cli.descent import FRAMES

    assert job.settings is not None
    steps = job.settings.steps + ((job.settings.vi_steps or job.settings.steps) if job.method == "vi" else 0)
    return replace(job, settings=job.settings.but(preview_every=max(1, steps // FRAMES)))


def _both(tell: Callable[[Step], None], descent: DescentVideo | None) -> Callable[[Step], None]:
    def told(step: Step) -> None:
        tell(step)
        if descent is not None:
            descent.tell(step)

    return told


def image_record(
    source: Source, done: Sequence[Result], errors: Mapping[int, dict[str, float | None]], what: Treatment,
    read: Sequence[Path], description: str, units: str, left: Mapping[int, str] = _NONE,
) -> dict[str, Any]:  # fmt: skip
    """Record of an image file: what all its slices share at the top, the rest under 'slices'.

    ``left``: why slices could not be restored, by their indices; they stay as they are.
    """
    from napari_brgm.engine.provenance import shared_record
    from napari_brgm.engine.whole_head import knows_brains

    shared, rest = shared_record([one.restored.provenance for one in done])
    stripped = {"SkullStripped": what.brain is None} if knows_brains(shared["prior"]["modality"]) else {}  # for BIDS
    return {
        "Description": description,
        "Sources": [source.label, *(plain_text(path.name) for path in read[1:])],
        "Units": units,
        **stripped,
        **source.record,
        **({"mask": dict(what.mask)} if what.mask else {}),
        **({"trial": True} if what.trial else {}),
        **({} if what.noise_sigma is None else {"noise_sigma": what.noise_sigma}),
        **({"alone": True} if what.missing and what.alone else {}),
        **({"left_as_they_are": [{"index": i, "reason": reason} for i, reason in left.items()]} if left else {}),
        **shared,
        "slices": [
            {"index": one.piece.index}
            | own
            | ({"errors": errors[one.piece.index]} if one.piece.index in errors else {})
            for one, own in zip(done, rest, strict=True)
        ],
    }


def tell_notes(done: Sequence[tuple[Piece, Restoration]]) -> None:
    """Print the notes of the slices' records, those that differ in their figures alone as one; last the intervals'."""
    told: dict[str, list[tuple[Piece, str]]] = {}
    for piece, result in done:
        label = result.provenance.get("calibration", {}).get("label")
        for note in [*result.provenance["notes"], *([label] if label else [])]:
            told.setdefault(_NUMBER.sub("", note), []).append((piece, note))
    for alike in told.values():
        (first, note), others = alike[0], len(alike) - 1
        more = f", and alike for {others} more" if others else ""
        everywhere = len(alike) == len(done) and all(text == note for _, text in alike)
        say(f"note: {note}" if everywhere else f"note: {first.title}: {note}{more}", err=True)
