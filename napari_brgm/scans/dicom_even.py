"""Evenly spaced runs of slice positions: one affine can place each of them."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import numpy.typing as npt

from napari_brgm.scans.dicom_alike import UNEVEN

__all__ = ["even_runs", "is_even"]


def even_runs(positions: npt.NDArray[np.float64]) -> list[tuple[int, int]]:
    """Longest runs [start, stop) of evenly spaced positions (K, 3), the longest first choosing, in order."""
    number = len(positions)
    if is_even(positions):
        return [(0, number)]
    gaps = np.linalg.norm(np.diff(positions, axis=0), axis=1)
    changes = np.flatnonzero(np.abs(np.diff(gaps)) > UNEVEN * np.minimum(gaps[1:], gaps[:-1])) + 1
    edges = [0, *changes.tolist(), number - 1]
    free = np.ones(number, dtype=bool)
    runs = []
    for a, b in sorted(pairwise(edges), key=lambda run: run[0] - run[1]):
        left = [k for k in range(a, b + 1) if free[k]]
        if len(left) > 1 and is_even(positions[left[0] : left[-1] + 1]):
            free[left] = False
            runs.append((left[0], left[-1] + 1))
    runs += [(int(k), int(k) + 1) for k in np.flatnonzero(free)]
    return sorted(runs)


def is_even(positions: npt.NDArray[np.float64]) -> bool:
    """Whether positions (K, 3) lie on a line at equal distances."""
    if len(positions) < 3:
        return True
    step = (positions[-1] - positions[0]) / (len(positions) - 1)
    line = positions[0] + np.arange(len(positions))[:, None] * step
    return bool(np.abs(positions - line).max() <= UNEVEN * np.linalg.norm(step))
