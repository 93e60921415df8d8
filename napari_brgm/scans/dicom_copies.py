"""Copies: the same image in two files. A SOP instance UID alone is no proof, as anonymisers write one into all files.

Two files hold one image if they have the same UID, the same places of all frames and the same pixel data.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from hashlib import sha256
from typing import TYPE_CHECKING

import numpy as np

from napari_brgm.scans.dicom_pixels import stored_pixels

if TYPE_CHECKING:
    from collections.abc import Sequence

    from napari_brgm.scans.dicom_frame import DicomFrame

__all__ = ["Copies"]


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


def _files(count: int) -> str:
    return "1 file holds" if count == 1 else f"{count} files hold"


def _digest(frames: Sequence[DicomFrame]) -> bytes:
    """Of all that makes an image: places, scale, pixels."""
    digest = sha256()
    for frame in frames:
        digest.update(np.array([*frame.position, *frame.axes.ravel(), frame.slope, frame.intercept]).tobytes())
        digest.update(repr((frame.kind[:-1], frame.shape, frame.tile)).encode())
    digest.update(np.ascontiguousarray(stored_pixels(frames[0].path, frames[0].dataset)).tobytes())
    return digest.digest()
