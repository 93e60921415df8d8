"""Survey: what lies in a folder of scans, how it can be cut into slices, and what speaks against training on it."""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from napari_brgm.datasets.image_archive import ImageArchive, subjects_of
from napari_brgm.datasets.read import holds_images
from napari_brgm.datasets.volume_files import volume_files
from napari_brgm.datasets.volumes import scans_of, unfit
from napari_brgm.errors import ScanError

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from napari_brgm.scan import Plane, Scan

__all__ = ["Survey", "survey_of"]

_LOOKED_AT = 64  # images whose size is looked at
_STEP = 0.01  # mm, to which the pixel size of a frame is rounded up
_WIDE = 1.25  # a slice so much larger than the median one is cut
_MOST_SLICES = 6000  # more make training long, and neighbours hardly differ


@dataclass(frozen=True, slots=True)
class Survey:
    """What was found.

    Attributes
    ----------
    kind : str
        'images' or 'volumes'.
    items, subjects : int
        Image files or volumes, and whose they are.
    plane : Plane or None
        In which volumes are cut; None for images.
    stride : int
        Of so many slices of volumes one is taken, so that there are no more than 6,000.
    spacing_mm : float
        Pixel size of the frame; 0: the whole of each image fills it.
    modality : str
        By the headers; '' where they do not say.
    found : tuple of str
        Sentences about what there is.
    doubts : tuple of str
        Sentences about what a person should look at.
    """

    kind: str
    items: int
    subjects: int
    plane: Plane | None
    stride: int
    spacing_mm: float
    modality: str
    found: tuple[str, ...]
    doubts: tuple[str, ...]


def survey_of(source: Path, resolution: int, plane: Plane | None = None, spacing_mm: float | None = None) -> Survey:
    """Look at images or volumes.

    Parameters
    ----------
    source : Path
        As for ``read_slices``.
    resolution : int
        Of the frame, pixels.
    plane : Plane, optional
        None: the one that most volumes were acquired in.
    spacing_mm : float, optional
        Pixel size of the frame. None: the one at which the largest slices fit into it; images fill it.

    Raises
    ------
    ScanError
        There is nothing, something cannot be read, no volume has slices of the plane, or modalities are mixed.
    """
    if holds_images(source):
        return _of_images(source, spacing_mm)
    return _of_volumes(source, resolution, plane, spacing_mm)


def _of_images(source: Path, spacing_mm: float | None) -> Survey:
    with ImageArchive(source) as archive:
        names = archive.names
        if not names:
            raise ScanError(f"{source.name} holds no png, jpg or tif image; unpack it if it holds volumes")
        picked = np.unique(np.linspace(0, len(names) - 1, min(_LOOKED_AT, len(names))).astype(int))
        sizes = Counter(archive.pixels(names[i]).shape[:2] for i in picked)
    subjects = len(set(subjects_of(names)))
    doubts = []
    if len(sizes) > 1:
        known = ", ".join(f"{h} x {w}" for (h, w), _ in sizes.most_common(3))
        doubts.append(f"images differ in size ({known}{', ...' if len(sizes) > 3 else ''}): the longer side fills it")
    if subjects == len(names):
        doubts.append(
            "every image is taken for a subject of its own; where several are of one patient, put those into one folder"
        )
    (height, width), _ = sizes.most_common(1)[0]
    found = f"{len(names)} images of {subjects} subjects, most of {height} x {width} pixels"
    return Survey("images", len(names), subjects, None, 1, spacing_mm or 0.0, "", (found,), tuple(doubts))


def _of_volumes(source: Path, resolution: int, plane: Plane | None, spacing_mm: float | None) -> Survey:
    files = volume_files(source)
    if not files:
        raise ScanError(f"{source.name} holds no images, NIfTI files or DICOM series; check the path")
    seen = [(label, subject, _without_voxels(scan)) for label, subject, scan in scans_of(files)]
    modalities = Counter(one.modality for *_, one in seen if one.modality)
    if len(modalities) > 1:
        named = " and ".join(f"{count} of {name}" for name, count in modalities.most_common())
        raise ScanError(f"{source.name} holds scans of different kinds, {named}; give a folder of one kind")
    acquired = Counter(one.plane for *_, one in seen)
    plane = plane or acquired.most_common(1)[0][0]
    refusals = [one.refusal[plane] for *_, one in seen if one.refusal[plane]]
    taken = [(subject, one) for _, subject, one in seen if not one.refusal[plane]]
    if not taken:
        raise ScanError(refusals[0] or f"there are no {plane} slices; check the folder")
    counts = [one.counts[plane] for _, one in taken]
    extents = np.array([max(one.extent[plane]) for _, one in taken])
    pixels = np.array([one.pixel[plane] for _, one in taken])  # (n, 2)
    doubts = []  # what is left out is told where slices are read
    if spacing_mm is None:
        most = float(extents[extents <= _WIDE * np.median(extents)].max())
        spacing_mm = math.ceil(most / resolution / _STEP - 1e-6) * _STEP
    elif spacing_mm == 0:
        doubts.append("each volume has pixels of its own size: sizes of anatomy are not comparable")
    cut = int((extents > resolution * spacing_mm * 1.001).sum()) if spacing_mm else 0
    if cut:
        doubts.append(f"{cut} of {len(taken)} volumes are wider than the frame of {resolution * spacing_mm:.0f} mm")
    several = [subject for subject, n in Counter(subject for subject, _ in taken).items() if n > 1]
    if several:
        doubts.append(
            f"{len(several)} subjects have more than one volume; where their contrasts differ, give a folder of one"
        )
    low, high = pixels.min(), pixels.max()
    size = f"{low:.3g} mm" if high < 1.01 * low else f"{low:.3g} to {high:.3g} mm"
    number = f"{min(counts)}" if min(counts) == max(counts) else f"{min(counts)} to {max(counts)}"
    found: tuple[str, ...] = (
        f"{len(taken)} volumes of {len({subject for subject, _ in taken})} subjects, {number} {plane} slices each",
        f"pixels of {size}, brought to {spacing_mm:.4g} mm" if spacing_mm else f"pixels of {size}, kept as they are",
    )
    stride = -(-sum(counts) // _MOST_SLICES)
    if stride > 1:
        found = (*found, f"of the {sum(counts)} slices one in {stride} is taken")
    modality = next(iter(modalities), "")
    return Survey(
        "volumes", len(taken), len({subject for subject, _ in taken}), plane, stride, round(spacing_mm, 4), modality,
        found, tuple(doubts),
    )  # fmt: skip


@dataclass(frozen=True, slots=True)
class _Seen:
    """A scan without its voxels; by plane: number of slices, pixel and extent in mm, and why it cannot be taken."""

    plane: Plane
    modality: str
    counts: dict[str, int]
    pixel: dict[str, tuple[float, float]]
    extent: dict[str, tuple[float, float]]
    refusal: dict[str, str]


def _without_voxels(scan: Scan) -> _Seen:
    planes: Sequence[Plane] = ("axial", "coronal", "sagittal")
    pieces = {plane: scan.slice(plane, 0) for plane in planes}
    return _Seen(
        scan.plane,
        scan.modality,
        {plane: scan.count(plane) for plane in planes},
        {plane: piece.spacing for plane, piece in pieces.items()},
        {plane: (piece.image.shape[0] * piece.spacing[0], piece.image.shape[1] * piece.spacing[1])
         for plane, piece in pieces.items()},
        {plane: unfit(scan, scan.name, plane) or "" for plane in planes},
    )  # fmt: skip
