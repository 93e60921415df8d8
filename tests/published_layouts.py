"""One small random generator in every published layout that is read, for tests that take such a file all the way."""

from __future__ import annotations

import numpy as np
import safetensors.torch
from scipy.ndimage import gaussian_filter
from zoo import published

SIDE = 32
ALIKE = "the mean of its channels"
COLOUR = "the luminance of what it draws"
SEEN_THROUGH = {  # layout: how its colours become gray; '' for a gray generator
    "ada-gray": "", "ada-colour": ALIKE, "ada-table": "", "tensorflow": "", "rosinality": COLOUR, "safetensors": "",
    "torch-save": "",
}  # fmt: skip


def files() -> dict[str, tuple[str, bytes]]:
    """Name and content of the file of each layout."""
    gray, colour = (_tamed(published.random_weights(SIDE, width=6, z=8, w=8, channels=n)) for n in (1, 3))
    drawn = {k: v.repeat(3, *[1] * (v.ndim - 1)) if _is_picture(k) else v for k, v in gray.items()}
    return {
        "ada-gray": ("gray.pkl", published.pytorch_pickle(gray)),
        "ada-colour": ("colour.pkl", published.pytorch_pickle(drawn)),
        "ada-table": ("state.pt", published.saved({"G_ema": gray})),
        "tensorflow": ("tensorflow.pkl", published.tensorflow_pickle(gray)),
        "rosinality": ("550000.pt", published.rosinality_pt(colour)),
        "safetensors": ("state.safetensors", safetensors.torch.save(gray)),
        "torch-save": (
            "module.pt", published.pytorch_pickle(gray, top=lambda c: c["G_ema"], dumps=published.saved),
        ),
    }  # fmt: skip


def scan(rows: int, columns: int) -> np.ndarray:
    """A slice (rows, columns) of 0 to 1200 in which no pixel is like another."""
    noise = np.random.default_rng(0).normal(size=(rows, columns))
    y, x = np.indices((rows, columns))
    disc = np.hypot((y - rows / 2) / rows, (x - columns / 2) / columns) < 0.4
    image = gaussian_filter(900.0 * disc, 1) + 150 * gaussian_filter(noise, 1)
    image -= image.min()
    return (1200 * image / image.max()).astype(np.float32)


def _tamed(weights: published.Weights) -> published.Weights:
    """With images of about -1 to 1."""
    return {k: 0.3 * v if _is_picture(k) else v for k, v in weights.items()}


def _is_picture(name: str) -> bool:
    return name.endswith(("torgb.weight", "torgb.bias"))
