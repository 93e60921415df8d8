"""The recipe from a zip of slices to a weights file, in miniature: it stops, goes on, and its file restores."""

from __future__ import annotations

import io
import zipfile

import numpy as np
import pytest
import torch
from PIL import Image

from napari_brgm import Mask, load_prior, restore
from napari_brgm.datasets import Framing, read_slices
from napari_brgm.errors import InputError
from napari_brgm.priors.prior import PriorInfo
from napari_brgm.training.poses import Poses
from napari_brgm.training.recipe import Recipe, linear_recipe, train_prior
from napari_brgm.training.refine import RefineSettings

INFO = PriorInfo("tiny", "MR T1", "axial", 1.5, representation_sigma=90.0)
TINY = Recipe(
    INFO,
    components=6,
    grid=64,
    mirror=True,
    own_share=0.75,
    poses=Poses(1, 0.01, 0.02, 2.0),
    corruptions=2,
    encoder_steps=3,
    encoder_latents=4,
    refine=RefineSettings(
        widths=((32, 4), (64, 4), (128, 4)), style_latents=4, images=16, stages=((64, 8),), batch=4, warmup_images=4
    ),
)


@pytest.fixture(scope="module")
def slices(tmp_path_factory):
    """Six subjects of four slices: ellipses of random size and brightness."""
    path = tmp_path_factory.mktemp("slices") / "slices.zip"
    random = np.random.default_rng(0)
    row, column = np.mgrid[:208, :176]
    with zipfile.ZipFile(path, "w") as handle:
        for subject in range(6):
            for k in range(4):
                a, b = random.uniform(60, 80), random.uniform(50, 65)
                inside = ((row - 104) / a) ** 2 + ((column - 88) / b) ** 2 < 1
                grey = inside * random.uniform(120, 220) + inside * 20 * np.sin(row / random.uniform(5, 20))
                buffer = io.BytesIO()
                Image.fromarray(grey.clip(0, 255).astype(np.uint8)).save(buffer, "JPEG", quality=90)
                handle.writestr(f"subject-{subject:03d}/slice-{k:02d}.jpg", buffer.getvalue())
    return read_slices(path, Framing(128, 1.5), pixel_mm=1.0)


def test_a_cut_run_goes_on_and_the_file_restores(slices, tmp_path):
    lines = []
    assert train_prior(slices, tmp_path / "work", tmp_path / "w.safetensors", TINY, lines.append, seconds=0) is None
    assert not (tmp_path / "w.safetensors").exists()
    stages = {p.name: p.stat().st_mtime_ns for p in (tmp_path / "work").iterdir() if p.name != "checkpoint.pt"}
    digest = train_prior(slices, tmp_path / "work", tmp_path / "w.safetensors", TINY, lines.append)
    assert digest is not None and (tmp_path / "w.png").is_file()
    assert all((tmp_path / "work" / n).stat().st_mtime_ns == t for n, t in stages.items())  # stages were kept
    prior = load_prior(tmp_path / "w.safetensors")
    assert (prior.resolution, prior.w_dim, prior.info.weights_sha256) == (128, 6, digest)
    image = ((prior.sample(1, seed=3)[0, 0] + 1) * 127.5).numpy()
    missing = np.zeros((128, 128), bool)
    missing[50:70, 50:70] = True
    result = restore(image, Mask(missing), prior, samples=2, device="cpu")
    error = np.sqrt(((result.estimate - image)[missing] ** 2).mean())
    assert error < 0.5 * np.sqrt(((image - 127.5 * (prior.base.mean[0].numpy() + 1))[missing] ** 2).mean() + 25)
    assert torch.isfinite(torch.from_numpy(result.variance)).all()


def test_slices_that_cannot_be_trained_on_are_refused(slices, tmp_path):
    with pytest.raises(InputError, match="24 slices cannot give 1024 latents"):
        train_prior(slices, tmp_path / "work", tmp_path / "w.safetensors", linear_recipe(INFO, 128), lambda _line: None)
    two = slices.taking(np.flatnonzero(slices.subjects < 2))
    with pytest.raises(InputError, match="2 subjects cannot be parted into 3 folds"):
        train_prior(two, tmp_path / "work", tmp_path / "w.safetensors", TINY, lambda _line: None)
    with pytest.raises(InputError, match="resolution of 32, 64"):
        linear_recipe(INFO, 100)
