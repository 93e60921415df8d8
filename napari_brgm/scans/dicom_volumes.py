"""Volumes of a 4-D series: which image at each position belongs to which time, direction or phase.

A key is taken only where it parts the images into whole volumes: each of its values has every position, equally often.
The next key parts what is left. Where none does any more, times or instance numbers rank the images at each position.
A key that was not needed and differs within a volume is told.
"""

from __future__ import annotations

from collections import Counter
from itertools import groupby
from typing import TYPE_CHECKING

import numpy as np

from napari_brgm.errors import ScanError
from napari_brgm.scans.dicom_alike import VALUE, labels_of
from napari_brgm.scans.dicom_copies import without_copies
from napari_brgm.scans.dicom_keys import ACQUISITION, INSTANCE, KEYS, TIMES

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from napari_brgm.scans.dicom_frame import DicomFrame
    from napari_brgm.scans.dicom_keys import Key

__all__ = ["instance_of", "parted", "volumes_of"]

Placed = tuple[int, "DicomFrame"]  # slice, frame
Notes = tuple[str, ...]
_LAST = "the last volume is incomplete and was left out"


def volumes_of(slices: Sequence[Sequence[DicomFrame]]) -> tuple[list[list[DicomFrame]], Notes]:
    """Put the images at each position together to volumes.

    Parameters
    ----------
    slices : sequence of sequences of DicomFrame
        All images at each position, in any order.

    Returns
    -------
    volumes : list of lists of DicomFrame
        ``volumes[t][k]`` lies at position k.
    notes : tuple of str
        What was left out or is doubtful.

    Raises
    ------
    ScanError
        Images are missing, or there are too many, and none of the keys says which.
    """
    if max(map(len, slices)) > 1:
        slices, left_out = without_copies(slices)
        volumes, notes = _parted_volumes(slices)
        return volumes, left_out + notes
    return [[frames[0] for frames in slices]], ()


def _parted_volumes(slices: Sequence[Sequence[DicomFrame]]) -> tuple[list[list[DicomFrame]], Notes]:
    every: list[Placed] = [(k, frame) for k, frames in enumerate(slices) for frame in frames]
    counts = [len(frames) for frames in slices]
    if max(counts) == 1:
        return [[frames[0] for frames in slices]], ()
    keys = [(key, labels) for key in KEYS if len(set((labels := _labels(every, key)).values())) > 1]
    if min(counts) == max(counts):
        volumes, used = _volumes(every, len(slices), keys)
        return volumes, _doubts(volumes, keys, used)
    return _complete(every, slices, keys)


def parted(frames: Sequence[DicomFrame]) -> Iterable[list[list[DicomFrame]]]:
    """Ways to part images into groups of one size that a key gives, the most trusted first; positions are not asked."""
    every: list[Placed] = [(0, frame) for frame in frames]
    for key in KEYS:
        labels = _labels(every, key)
        groups = [[frame for _, frame in part] for part in _by_label(every, labels)]
        if 1 < len(groups) < len(frames) and len({len(group) for group in groups}) == 1:
            yield groups


def _labels(frames: Sequence[Placed], key: Key) -> dict[int, int]:
    """Number of the group of like values of each frame, by its identity; in ascending order of the values."""
    values = [frame.keys.get(key.name) for _, frame in frames]
    numbers = [value for value in values if isinstance(value, tuple)]
    if numbers and len({len(number) for number in numbers}) == 1:
        own = sorted(set(numbers))
        groups = labels_of(np.array(own) / VALUE)
        order: dict[object, int] = {value: int(group) for value, group in zip(own, groups, strict=True)}
    else:
        order = {value: rank for rank, value in enumerate(sorted({value for value in values if value}, key=str))}
    return {id(frame): order.get(value, -1) for value, (_, frame) in zip(values, frames, strict=True)}


def _volumes(
    cell: list[Placed], count: int, keys: Sequence[tuple[Key, dict[int, int]]]
) -> tuple[list[list[DicomFrame]], set[str]]:
    """Volumes of images that every position has equally many of, and the names of the keys that parted them."""
    if len(cell) == count:
        return [[frame for _, frame in sorted(cell, key=lambda placed: placed[0])]], set()
    for index, (key, labels) in enumerate(keys):
        parts = _by_label(cell, labels)
        if len(parts) > 1 and all(_is_whole(part, count) for part in parts):
            several = [_volumes(part, count, keys[index + 1 :]) for part in parts]
            volumes = [volume for found, _ in several for volume in found]
            if not key.ordered:
                volumes.sort(key=lambda volume: min(instance_of(frame) for frame in volume))
            return volumes, {key.name}.union(*(used for _, used in several))
    return _ranked(cell)


def _by_label(cell: Sequence[Placed], labels: dict[int, int]) -> list[list[Placed]]:
    parts: dict[int, list[Placed]] = {}
    for placed in cell:
        parts.setdefault(labels[id(placed[1])], []).append(placed)
    return [parts[label] for label in sorted(parts)]


def _is_whole(part: Sequence[Placed], count: int) -> bool:
    """Whether every position has equally many of these images."""
    found = Counter(k for k, _ in part)
    return len(found) == count and len(set(found.values())) == 1


def _ranked(cell: list[Placed]) -> tuple[list[list[DicomFrame]], set[str]]:
    """Volumes by rank at each position, of the first key whose values differ at all of them."""
    slices = [[frame for _, frame in part] for _, part in groupby(sorted(cell, key=lambda p: p[0]), lambda p: p[0])]
    for key in TIMES:
        values = [[frame.keys.get(key.name) for frame in frames] for frames in slices]
        if all(None not in found and len(set(found)) == len(found) for found in values):
            ordered = [sorted(frames, key=lambda frame: frame.keys[key.name]) for frames in slices]
            return [list(volume) for volume in zip(*ordered, strict=True)], {key.name}
    return [list(volume) for volume in zip(*slices, strict=True)], {""}


def instance_of(frame: DicomFrame) -> tuple[float, ...]:
    """Instance number and frame number, by which images are put in order that nothing else puts in order."""
    value = frame.keys[INSTANCE.name]
    return value if isinstance(value, tuple) else ()


def _doubts(volumes: list[list[DicomFrame]], keys: Sequence[tuple[Key, dict[int, int]]], used: set[str]) -> Notes:
    """A note for what the images of a volume should share and do not, and for an order that nothing tells."""
    trusted = used & {key.name for key in KEYS}
    differing = []
    for key, labels in keys:
        if not key.telling or key.name in used or (key is ACQUISITION and trusted):
            continue
        numbers = [[labels[id(frame)] for frame in volume] for volume in volumes]
        of_place = all(len(set(found)) == 1 for found in zip(*numbers, strict=True))  # numbers slices, not volumes
        if not of_place and any(len(set(found)) > 1 for found in numbers):
            differing.append(key.name)
    if "" in used:
        return (
            "nothing in the files says which of the images at a position comes first: they are in the files' order",
        )
    if not differing:
        return ()
    return (
        f"images of one volume differ in their {' and '.join(differing)}: volumes were put together by "
        f"{' and '.join(sorted(used)) or 'position'}; compare them before you trust one",
    )


def _complete(
    every: list[Placed], slices: Sequence[Sequence[DicomFrame]], keys: Sequence[tuple[Key, dict[int, int]]]
) -> tuple[list[list[DicomFrame]], Notes]:
    """Volumes that have every position, where some have not."""
    count = len(slices)
    tries = [[key] for key in keys] + [list(keys[:n]) for n in range(2, len(keys) + 1)]
    for several in tries:
        joint: dict[tuple[int, ...], list[Placed]] = {}
        for k, frame in every:
            joint.setdefault(tuple(labels[id(frame)] for _, labels in several), []).append((k, frame))
        whole = {label: part for label, part in joint.items() if len(part) == count and _is_whole(part, count)}
        single = all(max(Counter(k for k, _ in part).values()) == 1 for part in joint.values())
        if single and whole and 2 * len(whole) >= len(joint):
            order = sorted(whole)
            volumes = [[frame for _, frame in sorted(whole[label], key=lambda p: p[0])] for label in order]
            if not all(key.ordered for key, _ in several):
                volumes.sort(key=lambda volume: min(instance_of(frame) for frame in volume))
            lost, images = len(joint) - len(whole), len(every) - sum(map(len, volumes))
            if lost == 1 and max(joint) not in whole:
                return volumes, (_LAST,)
            names = " and ".join(key.name for key, _ in several)
            return volumes, (f"{lost} volumes (by {names}) are incomplete: their {images} images were left out",)
    return _stopped_early(slices)


def _stopped_early(unsorted: Sequence[Sequence[DicomFrame]]) -> tuple[list[list[DicomFrame]], Notes]:
    """Volumes of a run stopped early: one after another by instance number, the last one short."""
    slices = [sorted(frames, key=instance_of) for frames in unsorted]
    counts = [len(frames) for frames in slices]
    least, most = min(counts), max(counts)
    if most == least + 1:
        last = [max(instance_of(frames[t]) for frames in slices if t < len(frames)) for t in range(most)]
        first = [min(instance_of(frames[t]) for frames in slices if t < len(frames)) for t in range(most)]
        if all(a < b for a, b in zip(last[:-1], first[1:], strict=True)):
            return [[frames[t] for frames in slices] for t in range(least)], (_LAST,)
    raise ScanError(_uneven(slices, counts))


def _uneven(slices: Sequence[Sequence[DicomFrame]], counts: Sequence[int]) -> str:
    """What is wrong: too many images at the fewer of the positions, or else too few."""
    more = [k for k, count in enumerate(counts) if count > min(counts)]
    if 2 * len(more) >= len(counts):
        return (
            f"a series has {sum(counts)} images at {len(slices)} slice positions, between {min(counts)} and "
            f"{max(counts)} at each; images are missing: copy or export the series again"
        )
    first = slices[more[0]][0]
    where = ", ".join(f"{place:.6g}" for place in first.position)
    others = f" and at {len(more) - 1} more" if len(more) > 1 else ""
    return (
        f"a series has {counts[more[0]]} images that differ at its slice position {more[0] + 1} of {len(counts)} "
        f"(ImagePositionPatient {where}){others}, and {min(counts)} at each other; "
        "nothing says which to leave out: move those that do not belong there to another folder"
    )
