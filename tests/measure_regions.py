"""Measure how often intervals of regions' means hold the truth, on held-out slices.

    python tests/measure_regions.py --prior brain-axial-128 --data data --slices 20

Discs of two radii on a grid in the holes of three masks; a row of each slice and mask goes to regions.jsonl, which a
run goes on from.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import numpy as np

import napari_brgm as brgm
from napari_brgm.calibration import TISSUE
from napari_brgm.corruptions import Mask
from napari_brgm.engine.region import RegionDraws
from napari_brgm.evaluation.held_out import evenly_spaced, grey_images, set_of
from napari_brgm.evaluation.masks import paper_masks

MASKS = (2, 3, 5)
RADII = (0.02, 0.05)  # of the frame's side
ABOVE = 100.0  # grey levels


def discs(hole: np.ndarray, radius: float) -> list[np.ndarray]:
    """Discs side by side that lie in the hole."""
    rows, columns = np.indices(hole.shape)
    step = int(2 * radius) + 1
    found = []
    for row in range(step // 2, len(hole), step):
        for column in range(step // 2, len(hole), step):
            disc = np.hypot(rows - row, columns - column) <= radius
            if hole[disc].all():
                found.append(disc)
    return found


def row_of(found: brgm.Restoration, truth: np.ndarray, hole: np.ndarray) -> dict[str, list[bool]]:
    held: dict[str, list[bool]] = {}
    for share in RADII:
        for disc in discs(hole, share * len(hole)):
            if truth[disc].mean() < TISSUE:
                continue
            draws = RegionDraws("grey levels", above=ABOVE)
            draws.add(found.samples, disc, found.measured, 1.0)
            of_truth = truth[disc].mean(), float((truth[disc] > ABOVE).sum())
            for figure, known in zip(draws.figures(0.9), of_truth, strict=True):
                held.setdefault(f"{share} {figure.units}", []).append(bool(figure.low <= known <= figure.high))
    return held


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--prior", default="brain-axial-128")
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--slices", type=int, default=20)
    parser.add_argument("--out", type=Path, default=Path("regions.jsonl"))
    asked = parser.parse_args()
    prior = brgm.load_prior(asked.prior)
    held = set_of(prior).read(asked.data, "validation")
    picked = evenly_spaced(len(held.images), asked.slices)
    lines = asked.out.read_text().splitlines() if asked.out.is_file() else []
    rows = {tuple(kept["key"]): kept["row"] for kept in map(json.loads, lines)}
    keys = []
    for index, truth in zip(picked, grey_images(held, picked), strict=True):
        for number in MASKS:
            keys.append(key := (prior.info.weights_sha256, int(index), number))
            if key not in rows:
                hole = paper_masks(len(truth))[number]
                seen = np.where(hole, np.float32(0), truth)
                rows[key] = row_of(brgm.restore(seen, Mask(hole), prior, device="cpu"), truth, hole)
                with asked.out.open("a") as file:
                    file.write(json.dumps({"key": key, "row": rows[key]}) + "\n")
    names = dict.fromkeys(name for key in keys for name in rows[key])
    for name in names:
        inside = [one for key in keys for one in rows[key].get(name, [])]
        print(f"{name}: {np.mean(inside):.1%} of {len(inside)}")


if __name__ == "__main__":
    main()
