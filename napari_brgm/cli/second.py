"""``--second``: another scan of the same patient, which saw what is hidden in the first."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from napari_brgm.cli.scan_source import ScanSource
from napari_brgm.cli.terminal import say, say_note
from napari_brgm.engine.second_scan import SecondScan
from napari_brgm.errors import InputError
from napari_brgm.scans import read_scan
from napari_brgm.scans.resampled import resampled_onto

if TYPE_CHECKING:
    from pathlib import Path

    from napari_brgm.cli.source import Source
    from napari_brgm.cli.treatment import Treatment
    from napari_brgm.scan import Scan

__all__ = ["with_second"]

_BESIDE = 1  # slices beside holes that the two are compared in, too


def with_second(what: Treatment, source: Source, path: Path) -> Treatment:
    """A treatment of holes with what a second scan saw there.

    Parameters
    ----------
    what : Treatment
        Of in-painting.
    source : Source
        Of a scan; pictures have no place that another could be brought to.
    path : Path
        NIfTI file, DICOM file or folder of one series, in the scanner's coordinates of the first.

    Raises
    ------
    ScanError, InputError
        It cannot be read, or does not go with the first.
    """
    if not isinstance(source, ScanSource):
        raise InputError("--second takes scans that say where they lie (NIfTI, DICOM), not pictures; leave it out")
    there = resampled_onto(_one_volume(path), source.scan)
    beside = {i for hole in what.missing for i in range(hole - _BESIDE, hole + _BESIDE + 1) if 0 <= i < source.count}
    near = sorted(beside - what.spoilt)
    first, second, measured = [], [], []
    for index in near:
        piece = source.piece(index)
        head = what.head(piece)
        image = piece.image if head is None else head.stripped
        hidden = what.missing.get(index, np.zeros(image.shape, dtype=bool))
        first.append(image)
        second.append(there.slice(source.plane, index).image)
        measured.append(~hidden if head is None else ~hidden & head.brain.inside)
    found = SecondScan.matched(np.stack(second), np.stack(first), np.stack(measured))
    say(
        f"the second scan was matched to the first near the holes; they differ by {found.sigma:.3g} there "
        f"({source.units}), which counts as its noise",
        err=True,
    )
    return replace(what, second={i: found.slice(near.index(i)) for i in what.missing})


def _one_volume(path: Path) -> Scan:
    scans = read_scan(path)
    if len(scans) > 1:
        raise InputError(f"{path.name} holds {len(scans)} scans, and --second takes one; give a folder of it alone")
    if scans[0].volumes > 1:
        raise InputError(
            f"{path.name} is 4-D with {scans[0].volumes} volumes, and --second takes one; write it to a file of its own"
        )
    for note in scans[0].notes:
        say_note(note)
    return replace(scans[0], array=scans[0].array.reshape(scans[0].shape[:3]))
