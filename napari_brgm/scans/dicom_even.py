"""Evenly spaced runs of slice positions: one affine can place each of them.

even        no position is further than a tenth of the step from the line through the first and the last
rounded     every coordinate is a multiple of its unit u, at most half a step, and all lie in a strip of width u:
            |p[j] - p[i] - (j - i) * s| <= u for one s, as of p = round((a + k * s) / u) * u

Of coarser units nothing tells a rounded step from a missing slice: positions to 0.1 mm of slices 0.1 mm apart, say.
"""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import numpy.typing as npt

from napari_brgm.scans.dicom_alike import UNEVEN

__all__ = ["even_runs", "is_even", "rounding_of"]

Positions = npt.NDArray[np.float64]
_DECIMALS = 4  # of mm; finer ones are no rounding of slices that a scanner makes
_WHOLE = 1e-6  # of a unit


def even_runs(positions: Positions) -> list[tuple[int, int]]:
    """Longest runs [start, stop) of evenly spaced positions (K, 3), the longest first choosing, in order."""
    if is_even(positions) or rounding_of(positions):
        return [(0, len(positions))]
    strict, loose = _runs(positions, 0.0), _runs(positions, _unit(positions))
    return strict if len(strict) <= len(loose) else loose


def is_even(positions: Positions) -> bool:
    """Whether positions (K, 3) lie on a line at equal distances."""
    if len(positions) < 3:
        return True
    step = (positions[-1] - positions[0]) / (len(positions) - 1)
    line = positions[0] + np.arange(len(positions))[:, None] * step
    return bool(np.abs(positions - line).max() <= UNEVEN * np.linalg.norm(step))


def rounding_of(positions: Positions) -> float:
    """Unit, mm, to which positions (K, 3) are rounded that were even before; 0 where they are or were not.

    Examples
    --------
    >>> rounding_of(np.array([[0, 0, 0], [0, 0, 0.2], [0, 0, 0.5], [0, 0, 0.8], [0, 0, 1.0]]))
    0.1
    """
    unit = 0.0 if is_even(positions) else _unit(positions)
    return unit if unit and all(_is_strip(line, _unit_of(line)) for line in positions.T) else 0.0


def _runs(positions: Positions, unit: float) -> list[tuple[int, int]]:
    """Runs between changes of the distance; a change by a rounding unit is none."""
    number = len(positions)
    gaps = np.linalg.norm(np.diff(positions, axis=0), axis=1)
    changed = np.maximum(UNEVEN * np.minimum(gaps[1:], gaps[:-1]), unit * (1 + _WHOLE))
    changes = np.flatnonzero(np.abs(np.diff(gaps)) > changed) + 1
    edges = [0, *changes.tolist(), number - 1]
    free = np.ones(number, dtype=bool)
    runs = []
    for a, b in sorted(pairwise(edges), key=lambda run: run[0] - run[1]):
        left = [k for k in range(a, b + 1) if free[k]]
        if len(left) > 1:
            own = positions[left[0] : left[-1] + 1]
            if is_even(own) or (unit and rounding_of(own)):
                free[left] = False
                runs.append((left[0], left[-1] + 1))
    runs += [(int(k), int(k) + 1) for k in np.flatnonzero(free)]
    return sorted(runs)


def _unit(positions: Positions) -> float:
    """Coarsest unit of the coordinates that vary; 0 where it is more than half of the usual step."""
    gaps = np.linalg.norm(np.diff(positions, axis=0), axis=1)
    unit = max((_unit_of(line) for line in positions.T if np.ptp(line) > 0), default=0.0)
    return unit if 2 * unit <= float(np.median(gaps)) * (1 + _WHOLE) else 0.0


def _unit_of(line: Positions) -> float:
    """10^-d for the fewest decimals d that write these numbers (K,)."""
    for decimals in range(_DECIMALS):
        scaled = line * 10.0**decimals
        if np.abs(scaled - np.round(scaled)).max() < _WHOLE:
            return float(10.0**-decimals)
    return float(10.0**-_DECIMALS)


def _is_strip(line: Positions, unit: float) -> bool:
    """Whether numbers (K,) can be even ones rounded to a unit: gaps of two neighbouring sizes, in their order."""
    slack = unit * (1 + _WHOLE)
    if np.ptp(np.diff(line)) > slack:
        return False
    low, high = -np.inf, np.inf
    for apart in range(1, len(line)):
        rise = line[apart:] - line[:-apart]
        low, high = max(low, (float(rise.max()) - slack) / apart), min(high, (float(rise.min()) + slack) / apart)
        if low > high:
            return False
    return True
