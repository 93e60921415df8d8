"""What a second scan adds: ``python tests/measure_second.py``. A few minutes of one core.

A hole in three slices of 1 mm of the MNI152 average; a second scan of it, made by splines: turned by 6 degrees, voxels
of 1.2 mm, other units, with noise, and in its last row laid 1 mm beside where it belongs.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from napari_brgm import load_prior, resampled_onto, restore, restore_volume
from napari_brgm.corruptions import Mask
from napari_brgm.scan import Scan
from napari_brgm.scans.mni152 import mni152_slab

if TYPE_CHECKING:
    from napari_brgm.engine.restoration import Restoration

CASES = ((0.03, 0.0), (0.1, 0.0), (0.03, 1.0))  # noise of the second over the first's range; mm beside its place
OWN_NOISE, SLICES, MIDDLE = 0.01, 9, 4


def second_of(first: Scan, noise: float, beside: float, generator: np.random.Generator) -> Scan:
    turn = np.eye(4)
    turn[:2, :2] = np.array([[np.cos(0.105), -np.sin(0.105)], [np.sin(0.105), np.cos(0.105)]])
    affine = turn @ first.affine @ np.diag([1.2, 1.2, 1.2, 1])
    grid = Scan(np.zeros([int(n / 1.2) for n in first.shape], np.float32), affine)
    image = 300 * (resampled_onto(first, grid).array + noise * generator.normal(size=grid.shape)) + 20
    affine[0, 3] += beside
    return Scan(image.astype(np.float32), affine)


def line(name: str, found: Restoration, truth: np.ndarray, hole: np.ndarray) -> str:
    low, high = found.interval(0.9)
    missed = float(np.sqrt(np.mean(np.square((found.estimate - truth)[hole]))))
    spread = float(np.sqrt(found.variance[hole].mean()))
    held = float(((low <= truth) & (truth <= high))[hole].mean())
    return f"| {name} | {missed:.4f} | {spread:.4f} | {held:.1%} |"


def main() -> None:
    prior, first = load_prior("brain-axial-128"), mni152_slab(-30.0, 50.0)
    start = first.count("axial") // 2 - SLICES // 2
    planes = range(start, start + SLICES)
    truth = np.stack([first.slice("axial", i).image for i in planes]).astype(np.float32)
    generator = np.random.default_rng(0)
    seen = truth + OWN_NOISE * generator.normal(size=truth.shape).astype(np.float32)
    hole = np.zeros(truth.shape, dtype=bool)
    height, width = truth.shape[1:]
    hole[3:6, int(0.3 * height) : int(0.55 * height), int(0.3 * width) : int(0.5 * width)] = True
    print("| | missed, range 1 | std told | 90 % intervals hold |\n|---|---|---|---|", flush=True)
    for case in (None, *CASES):
        name, second = "without a second scan", None
        if case is not None:
            name = f"noise {case[0]:.0%}" + (f", {case[1]:g} mm beside" if case[1] else "")
            there = resampled_onto(second_of(first, *case, generator), first)
            second = np.stack([there.slice("axial", i).image for i in planes])
        one = restore(
            seen[MIDDLE], Mask(hole[MIDDLE]), prior, spacing=(1.0, 1.0),
            second=None if second is None else second[MIDDLE],
        )  # fmt: skip
        print(line(f"{name}; one slice", one, truth[MIDDLE], hole[MIDDLE]), flush=True)
        all_ = restore_volume(seen, Mask(hole), prior, spacing=(1.0, 1.0, 1.0), second=second)
        print(line(f"{name}; three and their neighbours", all_, truth, hole), flush=True)


if __name__ == "__main__":
    main()
