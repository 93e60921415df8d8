"""How soon MAP reaches what 500 constant steps of Adam from the mean latent reach, without a linear part:

    python tests/measure_reach.py NET.safetensors ... --data data/brain/brain_validation.zip --slices 100,400

Prints the rows of docs/performance.md ("From the line"): the best of the constant rates, and the lowest loss of
L-BFGS after a tenth of that run's CPU time, from the mean and from the straight line through the network's draws. Brain
networks of 192 mm frames, in-painting of a tall box and super-resolution x4. One thread. The line, which takes minutes
to an hour, is kept in NET.lined.safetensors.
"""

from __future__ import annotations

import argparse
import copy
import time
from dataclasses import replace
from itertools import islice
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import torch

_STEPS, _SHARE = 500, 0.1
_FRAME_MM, _PIXEL_MM = 192.0, 1.0


def measured(prior, lined, image, name, rates, tasks) -> list[str]:
    """Rows of one slice (R, R) in grey levels."""
    from napari_brgm.corruptions import Downsample, Mask
    from napari_brgm.engine.observed import observe
    from napari_brgm.inference import Progress, maximise
    from napari_brgm.inference.adam import adam
    from napari_brgm.posterior import Posterior
    from napari_brgm.settings import preset

    size, settings = prior.resolution, preset("unaided").but(tolerance=None, steps=60)
    missing = np.zeros((size, size), dtype=bool)
    missing[size * 3 // 16 : size * 13 // 16, size // 2 : size * 23 // 32] = True
    low = image.reshape(size // 4, 4, size // 4, 4).mean(axis=(1, 3))
    rows = []
    all_tasks = {"box": (image, Mask(missing)), "x4": (low, Downsample(4))}
    for task in tasks:
        observed, corruption = all_tasks[task]
        likelihood = observe(observed, corruption, prior, pose=False).likelihood
        plain = Posterior(prior, likelihood, settings.but(start="mean"))
        best, seconds = float("inf"), 0.0
        for rate in rates:
            began = time.process_time()
            losses = [
                float(v.loss) for v in islice(adam(plain.terms, plain.start(), lambda _, rate=rate: rate), _STEPS)
            ]
            if min(losses) < best:
                best, seconds = min(losses), time.process_time() - began
        row = f"| {name} | {task} | {best:.1f} in {seconds:.1f} s |"
        for posterior in (plain, Posterior(lined, likelihood, settings)):
            trace: list[tuple[float, float]] = []
            began = time.process_time()

            def tell(step, trace=trace, began=began):
                trace.append((step.loss, time.process_time() - began))

            maximise(posterior, None, Progress(tell))
            lowest = min(loss for loss, spent in trace if spent <= _SHARE * seconds)
            reached = next((f"{spent / seconds:.3f}" for loss, spent in trace if loss <= 1.001 * best), "not")
            row += f" {100 * (lowest / best - 1):+.1f} % | {reached} |"
        rows.append(row)
    return rows


def main() -> None:
    from napari_brgm.datasets import Framing, cached
    from napari_brgm.priors.line import linearised
    from napari_brgm.zoo.files import read_prior, write_prior

    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("nets", type=Path, nargs="+")
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--slices", default="100")
    parser.add_argument("--rates", default="0.02,0.05,0.1", help="of Adam; the best of them counts")
    parser.add_argument("--tasks", default="box,x4")
    given = parser.parse_args()
    torch.set_num_threads(1)
    rates = [float(rate) for rate in given.rates.split(",")]
    for net in given.nets:
        prior = read_prior(net)
        lined = copy.copy(prior)
        kept = net.with_suffix(".lined.safetensors")
        if kept.exists():
            lined = read_prior(kept)
        else:
            began = time.process_time()
            lined.parts = replace(prior.parts, line=linearised(prior))
            print(f"{net.stem}: the line took {time.process_time() - began:.0f} s", flush=True)
            write_prior(lined, kept)
        with TemporaryDirectory() as folder:
            framing = Framing(prior.resolution, _FRAME_MM / prior.resolution)
            images = cached(given.data, framing, Path(folder), pixel_mm=_PIXEL_MM).images
            for number in map(int, given.slices.split(",")):
                image = np.asarray(images[number, 0], dtype=np.float32)
                print(
                    "\n".join(
                        measured(prior, lined, image, f"{net.stem}, slice {number}", rates, given.tasks.split(","))
                    ),
                    flush=True,
                )


if __name__ == "__main__":
    main()
