"""How well a brain is found in slabs and under artefacts, and what stripping brings: tests/measure_strip.py HEAD.

HEAD is a whole T1 head that needs no stripping to be trusted: what is found in all of it counts as its brain. The
figures of docs/decisions.md are those of ``mean_reg2mean.nii.gz`` in the wheel of pydeface 2.1.0 (MIT).
"""

from __future__ import annotations

import sys
from dataclasses import replace

import numpy as np

from napari_brgm import Mask, Scan, find_brain, load_prior, read_scan, restore

THICK, RADIUS, HOLE = (32, 60), 20, 18  # slabs in slices; balls and holes in pixels


def main(path: str) -> None:
    """Print the figures of one head."""
    (scan,) = read_scan(path)
    scan = Scan(np.squeeze(scan.array), scan.affine)
    brain = find_brain(scan)
    inside = brain.inside
    axis = int(np.argmax(np.abs(scan.affine[2, :3])))  # towards the head
    heights = np.flatnonzero(inside.any(axis=tuple({0, 1, 2} - {axis})))
    low, high = int(heights[0]), int(heights[-1])
    for first in np.linspace(low, high - 40, 5).astype(int):
        for thick in THICK:
            part = [slice(None)] * 3
            part[axis] = slice(int(first), min(int(first) + thick, scan.shape[axis]))
            found, true = find_brain(replace(scan, array=scan.array[tuple(part)])).inside, inside[tuple(part)]
            print(f"slab {first} + {thick}: Dice {2 * (found & true).sum() / (found.sum() + true.sum()):.3f}")
    grid = np.indices(scan.shape)
    rim = np.argwhere(inside & ~np.roll(inside, 1, axis=0))
    for centre in rim[np.random.default_rng(0).integers(0, len(rim), 4)]:
        ball = sum((grid[i] - centre[i]) ** 2 for i in range(3)) <= RADIUS**2
        for name, value in (("dark", 0), ("bright", scan.array.max())):
            spoilt = replace(scan, array=np.where(ball, value, scan.array))
            for painted in (None, ball):
                found = find_brain(spoilt, painted).inside
                missed = (~found & inside & ball).sum() / (inside & ball).sum()
                added = (found & ~inside & ball).sum() / max((~inside & ball).sum(), 1)
                told = "unfilled" if painted is None else "filled"
                print(f"{name} ball at {centre.tolist()}, {told}: missed {missed:.3f}, too much {added:.3f}")
    prior = load_prior("brain-axial-128")
    middle = round(low + 0.55 * (high - low))
    for index in range(middle - 16, middle + 17, 8):
        piece, own = scan.slice("axial", index), brain.slice(scan, "axial", index)
        rows, columns = np.indices(piece.image.shape)
        at = np.argwhere(own.inside).mean(axis=0)
        missing = (rows - at[0] - 15) ** 2 + (columns - at[1] - 30) ** 2 < HOLE**2
        for name, given in (("stripped", own), ("whole", None)):
            found = restore(piece.image, Mask(missing), prior, spacing=piece.spacing, samples=8, brain=given)
            wrong = (found.estimate - piece.image)[missing & own.inside]
            misfit = found.provenance["misfit"]["value"]
            print(f"slice {index}, {name}: RMSE {np.sqrt((wrong**2).mean()):.1f}, misfit {misfit}")


if __name__ == "__main__":
    main(sys.argv[1])
