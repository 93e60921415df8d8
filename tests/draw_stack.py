"""Draw docs/images/stack-sagittal.png: a hole in five neighbouring slices, in the plane and across it.

    python tests/draw_stack.py --out docs/images/stack-sagittal.png

The scan is the MNI152 average that comes with nilearn, 1 mm slices and pixels: smoother than a single head, so that a
straight line does better here than on patients.
"""

from __future__ import annotations

import argparse

import matplotlib as mpl
import numpy as np

mpl.use("Agg")
import matplotlib.pyplot as plt

import napari_brgm as brgm
from napari_brgm.scans.mni152 import mni152_slab

HIDDEN = 5
ROWS, COLUMNS = slice(60, 170), slice(100, 150)  # most of one hemisphere

HEAD, WIDTH = slice(25, 210), slice(20, 178)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", required=True)
    out = parser.parse_args().out
    prior = brgm.load_prior("brain-axial-128")
    volume = np.ascontiguousarray(mni152_slab(0, 24).array.T)  # (K, H, W), posterior at the top
    first = (len(volume) - HIDDEN) // 2
    missing = np.zeros(volume.shape, dtype=bool)
    missing[first : first + HIDDEN, ROWS, COLUMNS] = True
    seen = np.where(missing, 0, volume)
    found = brgm.restore_volume(seen, brgm.Mask(missing), prior, spacing=(1.0, 1.0, 1.0), samples=0)
    alone, line = volume.copy(), volume.copy()
    for i in range(HIDDEN):
        at, share = first + i, (i + 1) / (HIDDEN + 1)
        alone[at] = brgm.restore(seen[at], brgm.Mask(missing[at]), prior, spacing=(1.0, 1.0), samples=0).estimate
        between = (1 - share) * volume[first - 1] + share * volume[first + HIDDEN]
        line[at] = np.where(missing[at], between, volume[at])
    shown = {
        "measured": seen, "truth": volume, "slice by slice": alone, "straight line": line,
        "with neighbours": found.estimate,
    }  # fmt: skip
    column, high = (COLUMNS.start + COLUMNS.stop) // 2, float(np.percentile(volume, 99.8))
    figure, axes = plt.subplots(
        2, len(shown), figsize=(14, 4.9), facecolor="black", height_ratios=(HEAD.stop - HEAD.start, 2 * len(volume))
    )
    for (name, images), (top, bottom) in zip(shown.items(), axes.T, strict=True):
        top.imshow(images[first + HIDDEN // 2][HEAD, WIDTH], cmap="gray", vmin=0, vmax=high)
        bottom.imshow(images[::-1, ROWS, column], cmap="gray", vmin=0, vmax=high, interpolation="bicubic")
        missed = np.sqrt(np.mean((images - volume)[missing] ** 2)) * 255 / high
        top.set_title(name, color="white")
        bottom.set_title("" if name in ("measured", "truth") else f"{missed:.1f} grey levels", color="white", size=9)
    for axis in axes.flat:
        axis.axis("off")
    figure.tight_layout()
    figure.savefig(out, dpi=70)


if __name__ == "__main__":
    main()
