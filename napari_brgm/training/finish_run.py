"""FinishRun: where and how long a finish is trained."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

from napari_brgm.training.poses import Poses

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

__all__ = ["FinishRun"]


@dataclass(frozen=True, slots=True)
class FinishRun:
    """Where and how long a finish is trained.

    Attributes
    ----------
    source : Path
        Weights file of the prior; all that is not of a finish is taken over.
    work : Path
        Folder of stages, checkpoint and samples; the same one goes on with a cut run.
    out : Path
        Weights file to write; its sample sheet (.png) lies beside it.
    mirror : bool
        Left and right may be exchanged.
    poses : Poses
        Of the copies that draws are made of, as of the prior.
    device : str
    seconds : float
        Stop after so long, with everything kept.
    report : callable
        Gets lines for a person.
    progress : callable, optional
        Gets (images shown, images in all).
    warm_start : Path, optional
        Weights file of a prior whose finish a new training begins with.
    """

    source: Path
    work: Path
    out: Path
    mirror: bool = False
    poses: Poses = Poses()  # noqa: RUF009  # frozen
    device: str = "auto"
    seconds: float = math.inf
    report: Callable[[str], None] = print
    progress: Callable[[int, int], None] | None = None
    warm_start: Path | None = None
