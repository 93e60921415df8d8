"""Samples of planes as arrays that can be shown at once, kept as long as memory allows.

Large runs keep their samples as values of the pixels that were not measured; an image is made of them when it is looked
at. While samples are played, those of one plane are looked at again and again.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    import numpy.typing as npt

    from napari_brgm.plugin.layers.outcome import RestoredPlane

__all__ = ["PreparedSamples"]

_MOST = 1 << 28  # bytes


class PreparedSamples:
    """Samples of the planes that were looked at last; may be asked in any thread.

    Parameters
    ----------
    most : int
        Bytes that may be kept.
    """

    def __init__(self, most: int = _MOST) -> None:
        self._most = most
        self._kept: OrderedDict[tuple[int, int], tuple[RestoredPlane, npt.NDArray[np.float32]]] = OrderedDict()
        self._lock = threading.Lock()

    @property
    def size(self) -> int:
        """Bytes that are kept."""
        with self._lock:
            return sum(image.nbytes for _, image in self._kept.values())

    def sample(self, plane: RestoredPlane, number: int) -> Any:
        """(h, w) float32: sample ``number`` of a plane, from 0; not to be written to."""
        if isinstance(plane.result.samples, np.ndarray):
            return plane.sample(number)
        key = id(plane), number % max(len(plane.result.samples), 1)
        with self._lock:
            found = self._kept.get(key)
            if found is not None:
                self._kept.move_to_end(key)
                return found[1]
        image = plane.sample(number)
        with self._lock:
            self._kept[key] = plane, image  # with the plane, whose id it is known by
            total = sum(kept.nbytes for _, kept in self._kept.values())
            while total > self._most and self._kept:
                total -= self._kept.popitem(last=False)[1][1].nbytes
        return image

    def forget(self) -> None:
        """Keep nothing, as of a run that is no longer looked at."""
        with self._lock:
            self._kept.clear()
