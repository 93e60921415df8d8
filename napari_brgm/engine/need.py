"""Need: the memory that slices take, before they are restored. What does not fit is refused in a sentence.

A system without memory ends programs, napari with its unsaved work among them; so the need is put high. Measured
against it: ``napari-brgm benchmark --parts memory``.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import psutil

from napari_brgm.errors import InputError
from napari_brgm.posterior import bytes_of_images, images_at_once

if TYPE_CHECKING:
    import torch

    from napari_brgm.engine.observed import Problem

__all__ = ["Need", "TooLarge", "free_memory"]

_BASE = 600 << 20  # bytes: what is loaded with the first run, the prior among it
_PIXEL, _DRAWN = 30, 60  # bytes of a native pixel, and of one that is drawn, beside its draws
_KEPT = 28  # bytes of a pixel of a result without draws: estimate, mean, variance, intervals
_GROUP = Path("/sys/fs/cgroup")
_LIMITS = (  # of a container: limit, use, and its statistics with what of the use is a cache of files
    ("memory.max", "memory.current", "memory.stat"),
    ("memory/memory.limit_in_bytes", "memory/memory.usage_in_bytes", "memory/memory.stat"),
)
_SPARE = 1 << 28  # bytes that are left to everything else


class TooLarge(InputError):
    """There is not enough memory for what was asked for."""


@dataclass(frozen=True, slots=True)
class Need:
    """What decides how much memory slices take.

    Attributes
    ----------
    shape : (int, int)
        Of a restored slice.
    drawn : int
        Its pixels that were not measured.
    samples : int
    network : int
        Bytes of the generator at work; 0 where that is on a GPU.
    slices : int
        Whose results are held at the end.
    with_samples : bool
        Whether their samples are held, too.
    finished : bool
        Whether finished samples stand beside those of which statistics are made, while a slice is at work.
    """

    shape: tuple[int, int]
    drawn: int
    samples: int
    network: int
    slices: int = 1
    with_samples: bool = True
    finished: bool = False

    @classmethod
    def of(
        cls, problem: Problem, samples: int, resolution: int, batch: int, device: torch.device, slices: int,
        *, with_samples: bool, finished: bool = False,
    ) -> Need:  # fmt: skip
        """Of ``slices`` like this one; ``batch`` images of ``resolution`` pixels a side at once on ``device``."""
        network = 0
        if device.type == "cpu":
            batch = min(batch, images_at_once(resolution, device), max(samples, 1))
            network = max(bytes_of_images(1, resolution, gradient=True), bytes_of_images(batch, resolution))
        return cls(problem.shape, int(np.count_nonzero(problem.free)), samples, network, slices, with_samples, finished)

    @property
    def memory(self) -> int:
        """Bytes."""
        pixels, draws = self.shape[0] * self.shape[1], 4 * self.samples * self.drawn
        kept = _KEPT * pixels + (draws if self.with_samples else 0)
        work = 2 * draws if self.finished else draws
        return _BASE + self.network + _PIXEL * pixels + _DRAWN * self.drawn + work + (self.slices - 1) * kept

    def check(self) -> None:
        """Hold it against the memory that is free.

        Raises
        ------
        TooLarge
            It does not fit; the sentence says what would.
        """
        free = free_memory()
        if self.memory <= free:
            return
        height, width = self.shape
        what = f"{height} x {width} pixels with {self.samples} samples"
        what = f"restoring {what} takes" if self.slices == 1 else f"restoring {self.slices} slices of {what} takes"
        raise TooLarge(
            f"{what} about {_gigabytes(self.memory)} of memory, and {_gigabytes(free)} are free; {self._advice(free)}"
        )

    def _advice(self, free: int) -> str:
        """What would fit."""
        if self.slices > 1 and replace(self, slices=1).memory <= free:
            more = replace(self, slices=2).memory - replace(self, slices=1).memory
            fitting = 1 + (free - replace(self, slices=1).memory) // more
            fewer = ", or fewer samples" if replace(self, samples=2).memory <= free else ""
            return f"choose fewer slices (up to {fitting} at once would fit){fewer}"
        least = replace(self, samples=0)
        fitting = (free - least.memory) // max(replace(self, samples=1).memory - least.memory, 1)
        if fitting >= 2:
            return f"choose at most {fitting} samples"
        return "choose a part of the image or a coarser one, or close other programs"


def free_memory() -> int:
    """Bytes that this process can still have: of the machine, its swap space included, and of its container."""
    free = int(psutil.virtual_memory().available + psutil.swap_memory().free)
    for names in _LIMITS:
        try:
            limit, used, kinds = ((_GROUP / name).read_text() for name in names)
            cached = dict(line.split() for line in kinds.splitlines()).get("inactive_file", 0)
            free = min(free, int(limit) - int(used) + int(cached))
        except (OSError, ValueError):  # not there, or without limit
            continue
    return max(free - _SPARE, 0)


def _gigabytes(count: int) -> str:
    return f"{count / 1e9:.1f} GB"
