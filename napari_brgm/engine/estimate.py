"""How long a run will take, before it starts: steps times what a step took the last time on this machine.

The first time there is nothing to go by but what the shipped priors took on two cores. Each run that ends corrects its
own figure; they are kept in ``timings.json`` beside the person's weights: prior, method, device, seconds; nothing else.
"""

from __future__ import annotations

import contextlib
import json
import math
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from napari_brgm.engine.course import Course
from napari_brgm.engine.devices import pick_device
from napari_brgm.engine.windows import helping_mm, windows_of
from napari_brgm.settings import preset
from napari_brgm.whole_file import whole_file
from napari_brgm.zoo.folder import user_folder

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from napari_brgm.engine.job import Job, Stack
    from napari_brgm.settings import InferenceSettings

__all__ = ["REACH_MM", "Work", "estimated_seconds", "in_words", "learn"]

_PRODUCTS = 24  # batches of products with the Jacobian, about as long as a step each
_SEARCHED = {"unaided": 2.0, "manifold": 0.2}  # steps that one of the directions takes which MAP's spread looks at
_BATCH = 8  # samples drawn in one step; engine/restoring.py
# seconds of a step on two cores of a desktop machine, by side of the prior's frame
_FIRST_GUESS = {128: 0.14, 256: 0.55, 512: 2.5, 1024: 10.0}
REACH_MM = 4.0  # how far detail is known along the normal, where the prior is not loaded yet
_OWN_FRAME_SECONDS, _OWN_FRAME_PIXELS = 0.12, 128**2  # where the slice is the frame: a step of one of 128 px
_GPU_GAIN = 20.0
_NEW_SHARE = 0.7  # of the latest run in what is remembered


@dataclass(frozen=True, slots=True)
class Work:
    """What decides how long a run takes.

    Attributes
    ----------
    prior : str
        Its name, under which speeds are remembered.
    side : int
        Pixels a side of its frame; 0: the slice is the frame.
    settings : InferenceSettings
    method : str
    samples : int
    slices : int
        Those that are restored one by one.
    pixels : int
        Of one restored slice.
    on_gpu : bool
    windows : tuple of (int, int)
        Of each window of slices that are restored together: how many are looked at, and not known from the window
        before; how many of these are restored.
    """

    prior: str
    side: int
    settings: InferenceSettings
    method: str
    samples: int
    slices: int
    pixels: int
    on_gpu: bool = False
    windows: tuple[tuple[int, int], ...] = ()

    @classmethod
    def of(cls, job: Job, shapes: Sequence[tuple[int, int]]) -> Work:
        """What a job of slices of these shapes takes; on the device that it will find."""
        info = job.prior.info
        pixels = max((height * width for height, width in shapes), default=0)
        found = cls(
            info.name, 0 if info.preset == "untrained" else job.prior.resolution,
            job.settings or preset(info.preset), job.method, job.draws, job.count, pixels,
            pick_device(job.device).type == "cuda",
        )  # fmt: skip
        through = None if job.stack is None else job.prior.parts.through
        if job.stack is None or through is None or job.method != "map":
            return found
        return found.in_windows(job.stack, through.reach)

    def in_windows(self, stack: Stack, reach: float = REACH_MM) -> Work:
        """The same work on slices that are restored together where they are near each other.

        Parameters
        ----------
        stack : Stack
            Of all slices.
        reach : float
            How far detail is known along the normal, mm.
        """
        reach, own = helping_mm(stack, reach), np.asarray(stack.thin or stack.places)
        places, wanted, longest = own, np.ones(len(own), dtype=bool), 1
        if stack.thin:
            longest = max(int(np.ptp(np.flatnonzero(row))) + 1 for row in np.asarray(stack.profile))
        else:
            others = np.asarray([at for at, _ in stack.neighbours if np.abs(own - at).min() <= reach])
            places = np.concatenate([own, others])
            order = np.argsort(places, kind="stable")
            places, wanted = places[order], order < len(own)
        parts = windows_of(places.tolist(), wanted, reach, longest)
        parts = [part for part in parts if stack.thin or len(part.slices) > 1]
        together = sum(int(wanted[list(part.kept)].sum()) for part in parts)
        sizes = tuple((len(part.new), int(wanted[list(part.new)].sum())) for part in parts)
        return replace(self, slices=len(own) - together, windows=sizes)

    @property
    def steps(self) -> int:
        """Of the whole run, all slices: those of the inference and those that draw samples.

        Windows of slices that are restored together count as many as take as long (engine/course.py).
        """
        settings = self.settings
        inference = settings.steps + settings.refine_steps
        if self.method == "vi":
            inference += settings.vi_steps or settings.steps
        if self.method == "laplace":
            inference += _PRODUCTS
        elif settings.name in _SEARCHED and self.samples:
            inference += round(_SEARCHED[settings.name] * settings.most_directions)
        stacked = sum(Course(new, drawn, settings.steps, self.samples).cost for new, drawn in self.windows)
        return self.slices * (inference + math.ceil(self.samples / _BATCH)) + round(stacked)

    @property
    def size(self) -> float:
        """How large a step is, relative to the one that is remembered."""
        return 1.0 if self.side else self.pixels / _OWN_FRAME_PIXELS

    @property
    def key(self) -> str:
        """Under which its speed is remembered."""
        return f"{self._alone}{' together' if self.windows else ''}"

    @property
    def _alone(self) -> str:
        return f"{self.prior} {self.method} {'gpu' if self.on_gpu else 'cpu'}"

    def second(self, known: Mapping[str, float], guess: float) -> float:
        """Seconds of a step, of those that are remembered; ``guess`` where there are none."""
        return known.get(self.key, known.get(self._alone, guess))


def estimated_seconds(work: Work) -> float:
    """Seconds that the run will take, roughly."""
    side = work.side
    guess = _FIRST_GUESS[min(_FIRST_GUESS, key=lambda known: abs(known - side))] if side else _OWN_FRAME_SECONDS
    second = work.second(_read(), guess / (_GPU_GAIN if work.on_gpu else 1))
    return work.steps * work.size * second


def learn(work: Work, seconds: float) -> None:
    """Remember what a run took; a folder that cannot be written to costs only that."""
    second = seconds / (work.steps * work.size)
    known = _read()
    known[work.key] = _NEW_SHARE * second + (1 - _NEW_SHARE) * known.get(work.key, second)
    with contextlib.suppress(OSError):
        path = _path()
        path.parent.mkdir(parents=True, exist_ok=True)
        with whole_file(path) as draft:
            draft.write_text(json.dumps(known, indent=1))


def in_words(seconds: float) -> str:
    """A duration as one says it.

    Examples
    --------
    >>> in_words(7.2), in_words(48), in_words(300), in_words(9000)
    ('about 7 s', 'about 50 s', 'about 5 min', 'about 2.5 h')
    """
    if seconds < 10:
        return f"about {max(seconds, 1):.0f} s"
    if seconds < 90:
        return f"about {round(seconds, -1):.0f} s"
    if seconds < 5400:
        return f"about {seconds / 60:.0f} min"
    return f"about {seconds / 3600:.1f} h"


def _path() -> Path:
    return user_folder() / "timings.json"


def _read() -> dict[str, float]:
    try:
        known = json.loads(_path().read_text())
        return {str(k): float(v) for k, v in known.items() if math.isfinite(float(v)) and float(v) > 0}
    except (OSError, ValueError, AttributeError, TypeError):
        return {}
