"""Copies: the same image in two files. A SOP instance UID alone is no proof, as anonymisers write one into all files.

Two files hold one image if they have the same UID, the same places of all frames and the same pixel data. Those of a
series that was exported twice have other UIDs: there place, instance number, all that says which volume an image
belongs to, and pixels have to be the same, and no slice position may be left with fewer images than another.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from hashlib import sha256
from typing import TYPE_CHECKING

import numpy as np

from napari_brgm.scans.dicom_keys import INSTANCE
from napari_brgm.scans.dicom_pixels import stored_pixels

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from napari_brgm.scans.dicom_frame import DicomFrame

__all__ = ["Copies", "without_copies"]


@dataclass(slots=True)
class Copies:
    """Files seen so far. ``count`` of those asked about were copies, ``shared`` had another image under a known UID."""

    count: int = 0
    shared: int = 0
    _first: dict[str, Sequence[DicomFrame]] = field(default_factory=dict)
    _known: dict[str, set[bytes]] = field(default_factory=dict)

    def holds(self, frames: Sequence[DicomFrame]) -> bool:
        """Tell whether another file held this image, and remember it.

        Raises
        ------
        ScanError
            Its pixels, or those of the first file of the UID, cannot be read.
        """
        if not frames:
            return False
        uid = str(frames[0].dataset.get("SOPInstanceUID") or "")
        if not uid or uid not in self._first:
            self._first[uid] = frames
            return False
        if uid not in self._known:
            self._known[uid] = {_digest(self._first[uid])}
        own = _digest(frames)
        if own in self._known[uid]:
            self.count += 1
            return True
        self._known[uid].add(own)
        self.shared += 1
        return False

    @property
    def notes(self) -> tuple[str, ...]:
        """What was left out, and what was not although its UID says that it is there already."""
        left = (f"left out: {_files(self.count)} the image of another file again (same UID, place and pixels)",)
        kept = f"{_files(self.shared)} another image under the UID of one that is there already: all were read"
        return (left if self.count else ()) + ((kept,) if self.shared else ())


def without_copies(slices: Sequence[Sequence[DicomFrame]]) -> tuple[list[list[DicomFrame]], tuple[str, ...]]:
    """Leave out images that are at their slice position again under another UID, where as many are left at each.

    Parameters
    ----------
    slices : sequence of sequences of DicomFrame
        All images at each position.

    Returns
    -------
    slices : list of lists of DicomFrame
        In their order.
    notes : tuple of str
        How many files were left out.

    Raises
    ------
    ScanError
        Pixels that have to be compared cannot be read.
    """
    known: dict[Path, bytes] = {}
    own = [_own(frames, known) for frames in slices]
    left = {frame.path for frames in slices for frame in frames} - {frame.path for frames in own for frame in frames}
    if not left or len({len(frames) for frames in own}) > 1:
        return [list(frames) for frames in slices], ()
    return own, (
        f"left out: {_files(len(left))} the image of another file again under another UID "
        "(same place, instance number and pixels)",
    )


def _own(frames: Sequence[DicomFrame], known: dict[Path, bytes]) -> list[DicomFrame]:
    """First of each image; pixels are read of those alone that say the same of themselves, once a file."""
    alike: dict[str, list[DicomFrame]] = {}
    for frame in frames:
        alike.setdefault(repr(sorted(frame.keys.items())), []).append(frame)
    copies: set[int] = set()
    for several in alike.values():
        if len(several) == 1 or not any(several[0].keys.get(INSTANCE.name, ())[:1]):
            continue
        seen: set[tuple[bytes, bytes]] = set()
        for frame in several:
            if frame.path not in known:
                known[frame.path] = _pixels(frame)
            image = _place([frame]), known[frame.path]
            if image in seen:
                copies.add(id(frame))
            seen.add(image)
    return [frame for frame in frames if id(frame) not in copies]


def _files(count: int) -> str:
    return "1 file holds" if count == 1 else f"{count} files hold"


def _digest(frames: Sequence[DicomFrame]) -> bytes:
    """Of all that makes an image: places, scale, pixels."""
    return _place(frames) + _pixels(frames[0])


def _place(frames: Sequence[DicomFrame]) -> bytes:
    digest = sha256()
    for frame in frames:
        digest.update(np.array([*frame.position, *frame.axes.ravel(), frame.slope, frame.intercept]).tobytes())
        digest.update(repr((frame.kind[:-1], frame.shape, frame.tile)).encode())
    return digest.digest()


def _pixels(frame: DicomFrame) -> bytes:
    """Of all pixels of a frame's file."""
    return sha256(np.ascontiguousarray(stored_pixels(frame.path, frame.dataset)).tobytes()).digest()
