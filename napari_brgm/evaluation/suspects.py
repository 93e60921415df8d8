"""Suspects on held-out slices: the limit above which a pixel is suspect, and how simulated artefacts are found by it.

zipper     two columns that alternate between black and nearly white
drop-out   a disc of 14 % of the frame with a tenth of its signal
spikes     twelve squares of 1 to 3 pixels as bright as the brightest
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from scipy import ndimage

from napari_brgm.engine.suspects import suspects, unexplained
from napari_brgm.evaluation.held_out import evenly_spaced, grey_images, set_of

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    import numpy.typing as npt

    from napari_brgm.priors.prior import Prior

    Image = npt.NDArray[np.float32]
    Flags = npt.NDArray[np.bool_]
    Told = Callable[[int, int, str], None]

__all__ = ["ARTEFACTS", "FoundArtefacts", "found_artefacts", "held_out_limit"]

_PERCENTILE = 99.5
_TISSUE = 15.0  # grey levels
_APART = 3  # pixels round an artefact that count neither as it nor as clean


@dataclass(frozen=True, slots=True)
class FoundArtefacts:
    """Shares, each (n,): of the artefact that was found, and of clean tissue that was marked with it."""

    found: npt.NDArray[np.float64]
    clean: npt.NDArray[np.float64]


def held_out_limit(prior: Prior, data: Path, count: int, tell: Told | None = None) -> float:
    """99.5th percentile of what ``prior`` leaves unexplained of tissue, over ``count`` validation slices.

    Raises
    ------
    InputError, ScanError
        The prior fits none of the sets, or the set is missing.
    """
    found = []
    images = _images(prior, data, count)
    for number, image in enumerate(images):
        q, tissue = unexplained(image, prior, None)
        found.append(q[tissue])
        if tell is not None:
            tell(number + 1, len(images), prior.info.name)
    return float(np.percentile(np.concatenate(found), _PERCENTILE))


def found_artefacts(
    prior: Prior, data: Path, count: int, kind: str, seed: int = 0, tell: Told | None = None
) -> FoundArtefacts:  # fmt: skip
    """Put one artefact of a kind into each of ``count`` validation slices, and look for it."""
    shares = []
    images = _images(prior, data, count)
    for number, image in enumerate(images):
        spoilt, where = ARTEFACTS[kind](image, np.random.default_rng((seed, number)))
        marked = suspects(spoilt, prior)
        clean = (image > _TISSUE) & ~ndimage.binary_dilation(where, iterations=_APART)
        shares.append((marked[where].mean(), marked[clean].mean()))
        if tell is not None:
            tell(number + 1, len(images), f"{prior.info.name}, {kind}")
    found, clean_marked = np.array(shares).T
    return FoundArtefacts(found, clean_marked)


def _images(prior: Prior, data: Path, count: int) -> list[Image]:
    slices = set_of(prior).read(data, "validation")
    return list(grey_images(slices, evenly_spaced(len(slices.images), count)))


def _zipper(image: Image, random: np.random.Generator) -> tuple[Image, Flags]:
    rows, columns = image.shape
    at = int(random.integers(columns // 4, 3 * columns // 4))
    spoilt, where = image.copy(), np.zeros(image.shape, dtype=bool)
    line = np.where(np.arange(rows) % 3 < 2, 0.9 * image.max(), 0)
    spoilt[:, at], spoilt[:, at + 1] = line, line[::-1]
    where[:, at : at + 2] = True
    return spoilt, where


def _drop_out(image: Image, random: np.random.Generator) -> tuple[Image, Flags]:
    side = min(image.shape)
    row, column = (random.uniform(0.35, 0.65) * n for n in image.shape)
    down, across = np.indices(image.shape)
    disc = (down - row) ** 2 + (across - column) ** 2 < (0.07 * side) ** 2
    return np.where(disc, 0.1 * image, image).astype(np.float32), disc & (image > 2 * _TISSUE)


def _spikes(image: Image, random: np.random.Generator) -> tuple[Image, Flags]:
    spoilt, where = image.copy(), np.zeros(image.shape, dtype=bool)
    wide = max(1, round(1.5 * min(image.shape) / 128))
    for _ in range(12):
        row, column = (int(random.integers(n // 4, 3 * n // 4)) for n in image.shape)
        spot = slice(row, row + wide), slice(column, column + wide)
        spoilt[spot], where[spot] = image.max(), True
    return spoilt, where


ARTEFACTS = {"zipper": _zipper, "drop-out": _drop_out, "spikes": _spikes}
