"""Draw docs/images/samples-finished.png: samples in a hole and of coarse pixels, before and with the texture of scans.

    python tests/draw_samples.py --out docs/images/samples-finished.png

The scan is the MNI152 average that comes with nilearn: 152 heads in one, smoother than any of them.
"""

from __future__ import annotations

import argparse

import matplotlib as mpl
import numpy as np
import torch

mpl.use("Agg")
import matplotlib.pyplot as plt

import napari_brgm as brgm
from napari_brgm.scans.mni152 import mni152_slab
from napari_brgm.settings import preset

HEAD, WIDTH = slice(25, 210), slice(20, 178)
ROWS, COLUMNS = slice(60, 170), slice(100, 150)  # most of one hemisphere
COARSE = 4


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", required=True)
    out = parser.parse_args().out
    prior = brgm.load_prior("brain-axial-128")
    image = np.ascontiguousarray(mni152_slab(12, 13).array[..., 0].T)[HEAD, WIDTH]
    image = image[: image.shape[0] // COARSE * COARSE, : image.shape[1] // COARSE * COARSE]
    missing = np.zeros(image.shape, dtype=bool)
    missing[
        ROWS.start - HEAD.start : ROWS.stop - HEAD.start, COLUMNS.start - WIDTH.start : COLUMNS.stop - WIDTH.start
    ] = 1
    coarse = brgm.Downsample(COARSE)
    few = coarse(torch.from_numpy(image)[None, None].float())[0, 0].numpy()
    tasks = [
        (np.where(missing, 0, image), brgm.Mask(missing), (1.0, 1.0)),
        (few, coarse, (float(COARSE), float(COARSE))),
    ]
    high = float(np.percentile(image, 99.8))
    names = ("truth", "measured", "estimate", "sample before", *(f"sample {k}, finished" for k in (1, 2, 3)))
    figure, axes = plt.subplots(len(tasks), len(names), figsize=(14, 4.9), facecolor="black")
    for row, (given, f, spacing) in zip(axes, tasks, strict=True):
        before, found = (
            brgm.restore(given, f, prior, spacing=spacing, samples=8, settings=preset("default").but(finish=finish))
            for finish in (False, True)
        )
        shown = (image, given, found.estimate, before.samples[0], *(found.samples[k] for k in range(3)))
        for axis, name, one in zip(row, names, shown, strict=True):
            axis.imshow(one, cmap="gray", vmin=0, vmax=high)
            axis.axis("off")
            if row is axes[0]:
                axis.set_title(name, color="white", size=10)
    figure.tight_layout()
    figure.savefig(out, dpi=70)


if __name__ == "__main__":
    main()
