"""How long a run will take, before it starts: steps times what a step took the last time on this machine.

The first time there is nothing to go by but what the shipped priors took on two cores. Each run that ends corrects its
own figure; they are kept in ``timings.json`` beside the person's weights: prior, method, device, seconds; nothing else.
"""

from __future__ import annotations

import contextlib
import json
import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

from napari_brgm.engine.devices import pick_device
from napari_brgm.settings import preset
from napari_brgm.zoo.folder import user_folder

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from napari_brgm.engine.job import Job
    from napari_brgm.settings import InferenceSettings

__all__ = ["Work", "estimated_seconds", "in_words", "learn"]

_PRODUCTS = 24  # batches of products with the Jacobian, about as long as a step each
_SEARCHED = {"unaided": 2.0, "manifold": 0.2}  # steps that one of the directions takes which MAP's spread looks at
_BATCH = 8  # samples drawn in one step; engine/restoring.py
# seconds of a step on two cores of a desktop machine, by side of the prior's frame
_FIRST_GUESS = {128: 0.14, 256: 0.55, 512: 2.5, 1024: 10.0}
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
    pixels : int
        Of one restored slice.
    on_gpu : bool
    """

    prior: str
    side: int
    settings: InferenceSettings
    method: str
    samples: int
    slices: int
    pixels: int
    on_gpu: bool = False

    @classmethod
    def of(cls, job: Job, shapes: Sequence[tuple[int, int]]) -> Work:
        """What a job of slices of these shapes takes; on the device that it will find."""
        info = job.prior.info
        pixels = max((height * width for height, width in shapes), default=0)
        return cls(
            info.name, 0 if info.preset == "untrained" else job.prior.resolution,
            job.settings or preset(info.preset), job.method, job.draws, job.count, pixels,
            pick_device(job.device).type == "cuda",
        )  # fmt: skip

    @property
    def steps(self) -> int:
        """Of the whole run, all slices: those of the inference and those that draw samples."""
        settings = self.settings
        inference = settings.steps + settings.refine_steps
        if self.method == "vi":
            inference += settings.vi_steps or settings.steps
        if self.method == "laplace":
            inference += _PRODUCTS
        elif settings.name in _SEARCHED and self.samples:
            inference += round(_SEARCHED[settings.name] * settings.most_directions)
        return self.slices * (inference + math.ceil(self.samples / _BATCH))

    @property
    def size(self) -> float:
        """How large a step is, relative to the one that is remembered."""
        return 1.0 if self.side else self.pixels / _OWN_FRAME_PIXELS

    @property
    def key(self) -> str:
        """Under which its speed is remembered."""
        return f"{self.prior} {self.method} {'gpu' if self.on_gpu else 'cpu'}"


def estimated_seconds(work: Work) -> float:
    """Seconds that the run will take, roughly."""
    side = work.side
    guess = _FIRST_GUESS[min(_FIRST_GUESS, key=lambda known: abs(known - side))] if side else _OWN_FRAME_SECONDS
    second = _read().get(work.key, guess / (_GPU_GAIN if work.on_gpu else 1))
    return work.steps * work.size * second


def learn(work: Work, seconds: float) -> None:
    """Remember what a run took; a folder that cannot be written to costs only that."""
    second = seconds / (work.steps * work.size)
    known = _read()
    known[work.key] = _NEW_SHARE * second + (1 - _NEW_SHARE) * known.get(work.key, second)
    with contextlib.suppress(OSError):
        path = _path()
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary = path.with_name(f".{path.name}")
        temporary.write_text(json.dumps(known, indent=1))
        temporary.replace(path)


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
