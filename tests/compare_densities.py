"""Compare the densities of the latents on held-out slices: errors, coverage and CRPS, before calibration.

    python tests/compare_densities.py --prior brain-axial-128 --data data --slices 24

A row of each slice, task and density goes to densities.jsonl, which a run goes on from; the table is docs/mixture.md's.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import numpy as np

import napari_brgm as brgm
from napari_brgm.calibration import TISSUE
from napari_brgm.evaluation.held_out import evenly_spaced, grey_images, set_of
from napari_brgm.evaluation.tasks import tasks_of_size
from napari_brgm.scoring import crps_samples
from napari_brgm.settings import preset

DENSITIES = ("default", "mixture")
FIGURES = ("RMSE", "RMSE of mean", "CRPS", "covered", "seconds")


def row_of(found: brgm.Restoration, truth: np.ndarray, hidden: np.ndarray) -> list[float]:
    tissue = hidden & (truth > TISSUE)
    target, mean, std = truth[tissue], found.mean[tissue], found.std[tissue]
    samples = np.asarray(found.samples)[:, tissue]
    errors = [float(np.sqrt(np.mean(np.square((one - truth)[hidden])))) for one in (found.estimate, found.mean)]
    covered = float(np.mean(np.abs(target - mean) <= 1.645 * std))
    return [*errors, float(crps_samples(target, samples).mean()), covered, float(found.provenance["seconds"])]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--prior", default="brain-axial-128")
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--slices", type=int, default=24)
    parser.add_argument("--tasks", default="")
    parser.add_argument("--out", type=Path, default=Path("densities.jsonl"))
    asked = parser.parse_args()
    prior = brgm.load_prior(asked.prior)
    held = set_of(prior).read(asked.data, "validation")
    picked = evenly_spaced(len(held.images), asked.slices)
    tasks = [t for t in tasks_of_size(prior.resolution) if not asked.tasks or t.name in asked.tasks.split(",")]
    lines = asked.out.read_text().splitlines() if asked.out.is_file() else []
    rows = {tuple(kept["key"]): kept["row"] for kept in map(json.loads, lines)}
    keys = []
    for index, truth in zip(picked, grey_images(held, picked), strict=True):
        for task in tasks:
            for name in DENSITIES:
                key = (prior.info.weights_sha256, int(index), task.name, name)
                keys.append(key)
                if key in rows:
                    continue
                settings = preset(name).but(calibrate=False, finish=False)
                seen, hidden = task.observe(truth[None])[0], np.broadcast_to(task.region, truth.shape)
                found = brgm.restore(seen, task.corruption, prior, samples=16, seed=0, device="cpu", settings=settings)
                rows[key] = row_of(found, truth, hidden)
                with asked.out.open("a") as file:
                    file.write(json.dumps({"key": key, "row": rows[key]}) + "\n")
    print(f"| task | density | {' | '.join(FIGURES)} |\n| --- | --- |{' --- |' * len(FIGURES)}")
    for task in tasks:
        for name in DENSITIES:
            mean = np.mean([rows[key] for key in keys if key[2:] == (task.name, name)], axis=0)
            error, of_mean, crps, covered, seconds = mean
            figures = f"{error:.2f} | {of_mean:.2f} | {crps:.2f} | {100 * covered:.1f} % | {seconds:.1f}"
            print(f"| {task.name} | {name} | {figures} |")


if __name__ == "__main__":
    main()
