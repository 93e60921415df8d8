"""Several scans of one series: what they are called, and the note that says by what they were told apart."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from napari_brgm.scans.dicom_alike import DIRECTION, ECHO, size_tolerance
from napari_brgm.scans.dicom_elements import printable

if TYPE_CHECKING:
    from collections.abc import Sequence

    from napari_brgm.scans.dicom_frame import DicomFrame
    from napari_brgm.scans.dicom_series import ImageStack

__all__ = ["names_of", "split_notes"]

_WORDS = {
    "patient": "patient", "series_number": "series number", "description": "description",
    "sop_class": "kind of file", "image_type": "image type", "component": "complex component", "stack": "stack",
    "echo_number": "echo number", "energy_window": "energy window", "lacks": "position (some have none)",
}  # fmt: skip


def names_of(names: Sequence[str], image_types: Sequence[str]) -> list[str]:
    """Names of scans, with words of their image types or a number where several share one."""
    alike: dict[str, list[int]] = {}
    for index, name in enumerate(names):
        alike.setdefault(name, []).append(index)
    found = list(names)
    for name, indices in alike.items():
        if len(indices) == 1:
            continue
        types = [printable(image_types[i]).split() for i in indices]
        common = set.intersection(*map(set, types))
        texts = [" ".join(words) for words in types]
        single = {text for text in texts if text} - {text for text, n in _counted(texts).items() if n > 1}
        for number, (index, words, text) in enumerate(zip(indices, types, texts, strict=True), 1):
            own = " ".join(word for word in words if word not in common)
            found[index] = f"{name} {own}" if own and text in single else f"{name} ({number})"
    return found


def _counted(texts: Sequence[str]) -> dict[str, int]:
    counts: dict[str, int] = {}
    for text in texts:
        counts[text] = counts.get(text, 0) + 1
    return counts


def split_notes(stacks: Sequence[ImageStack]) -> list[tuple[str, ...]]:
    """For each stack, a note if it is one of several of its series UID: how many, what differs, and its own echo."""
    series: dict[str, list[int]] = {}
    for index, stack in enumerate(stacks):
        kind = stack.frames[0][0].kind
        if kind.series and not kind.alone:
            series.setdefault(kind.series, []).append(index)
    notes: list[tuple[str, ...]] = [()] * len(stacks)
    for indices in series.values():
        firsts = [stacks[i].frames[0][0] for i in indices]
        words = _differences(firsts) if len(indices) > 1 else []
        if words:
            told = f"its series holds {len(indices)} scans, which differ in their {_listed(words)}"
            for index, own in zip(indices, _own_echoes(firsts), strict=True):
                notes[index] = (told + own,)
    return notes


def _differences(frames: Sequence[DicomFrame]) -> list[str]:
    words = [word for field, word in _WORDS.items() if len({getattr(frame.kind, field) for frame in frames}) > 1]
    if len({frame.shape for frame in frames}) > 1:
        words.append("rows and columns")
    sizes = np.log([frame.spacing for frame in frames])
    if np.ptp(sizes, axis=0).max() > size_tolerance(frames[0].shape):
        words.append(f"pixel size ({_range([frame.spacing[0] for frame in frames])} mm between rows)")
    if _echo_times_differ(frames):
        words.append(f"echo time ({_range([frame.echo for frame in frames])} ms)")
    if np.ptp(np.array([frame.axes for frame in frames]), axis=0).max() > DIRECTION:
        words.append("orientation")
    return words


def _echo_times_differ(frames: Sequence[DicomFrame]) -> bool:
    return bool(np.ptp(np.log([frame.echo or 1e-9 for frame in frames])) > ECHO)


def _own_echoes(frames: Sequence[DicomFrame]) -> list[str]:
    """What is said of the echo of each of several scans; '' where they do not differ in it."""
    numbers = len({frame.kind.echo_number for frame in frames}) > 1
    times = _echo_times_differ(frames)
    told = []
    for frame in frames:
        own = [f"echo number {printable(frame.kind.echo_number) or 'unknown'}"] if numbers else []
        own += [f"echo time {frame.echo:.6g} ms" if frame.echo else "no echo time"] if times else []
        told.append(f"; this one has {_listed(own)}" if own else "")
    return told


def _range(numbers: Sequence[float]) -> str:
    return f"{min(numbers):.6g} to {max(numbers):.6g}"


def _listed(words: Sequence[str]) -> str:
    return words[0] if len(words) == 1 else f"{', '.join(words[:-1])} and {words[-1]}"
