"""A held-out set of made-up images, and a linear prior of its training part."""

from __future__ import annotations

import zipfile
from io import BytesIO
from typing import TYPE_CHECKING

import torch
from PIL import Image

from napari_brgm.datasets import Framing
from napari_brgm.evaluation.held_out import HeldOutSet, grey_images
from napari_brgm.priors.linear_gaussian import LinearGaussian
from napari_brgm.priors.prior import PriorInfo

if TYPE_CHECKING:
    from pathlib import Path

SIZE = 32
TOY = HeldOutSet(
    "toy", "discs", "toy", "train.zip", "validation.zip", Framing(SIZE, 1.0), (1.0, 1.0), ("mr",), ("axial",)
)
INFO = PriorInfo("toy-32", modality="MR T1", plane="axial", spacing_mm=1.0, representation_sigma=8.0)


def write_toy_set(folder: Path, smooth_images) -> None:
    """Training images of ten subjects and validation images of three others, four each."""
    (folder / "toy").mkdir()
    for name, subjects, seed, first in (("train", 10, 0, 0), ("validation", 3, 1, 10)):
        grey = (127.5 * (smooth_images(subjects * 4, SIZE, seed)[:, 0] + 1)).round().to(torch.uint8).numpy()
        with zipfile.ZipFile(folder / "toy" / f"{name}.zip", "w") as archive:
            for number, image in enumerate(grey):
                stream = BytesIO()
                Image.fromarray(image).save(stream, "png")
                archive.writestr(f"subject-{first + number // 4:03}/slice-{number % 4:02}.png", stream.getvalue())


def toy_prior(folder: Path) -> LinearGaussian:
    images = torch.from_numpy(grey_images(TOY.read(folder, "training")))[:, None] / 127.5 - 1
    return LinearGaussian.fit(images, 12, INFO)
