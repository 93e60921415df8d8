"""Draw docs/images/samples-finished.png: draws of the priors as the generator makes them, with field, and finished.

    python tests/draw_samples.py --out docs/images/samples-finished.png

Synthetic throughout.
"""

from __future__ import annotations

import argparse

import matplotlib as mpl

mpl.use("Agg")
import matplotlib.pyplot as plt

import napari_brgm as brgm

PRIORS = ("brain-axial-128", "brain-axial-256", "chest-xray-256")
FINISHED = 4


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", required=True)
    out = parser.parse_args().out
    figure, axes = plt.subplots(len(PRIORS), 2 + FINISHED, figsize=(2 * (2 + FINISHED), 2.2 * len(PRIORS)))
    figure.set_facecolor("black")
    for number, (row, name) in enumerate(zip(axes, PRIORS, strict=True)):
        prior = brgm.load_prior(name)
        plain, field = (brgm.draw(prior, 1, seed=1, residual=residual) for residual in (False, True))
        shown = [plain[0], field[0], *brgm.draw(prior, FINISHED, seed=1, finish=True)]
        titles = ["generator", "with residual field", *(f"finished {k + 1}" for k in range(FINISHED))]
        for axis, title, image in zip(row, titles, shown, strict=True):
            axis.imshow(image, cmap="gray", vmin=0, vmax=255)
            axis.axis("off")
            if number == 0:
                axis.set_title(title, color="white", size=12)
        row[0].text(0.5, 0.01, name, transform=row[0].transAxes, color="white", size=10, ha="center")
    figure.tight_layout()
    figure.savefig(out, dpi=75)


if __name__ == "__main__":
    main()
