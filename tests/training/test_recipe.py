"""The recipe from a zip of slices to a weights file, in miniature: it stops, goes on, and its file restores."""

from __future__ import annotations

import io
import zipfile
from dataclasses import replace

import numpy as np
import pytest
import torch
from PIL import Image

from napari_brgm import Mask, load_prior, restore
from napari_brgm.datasets import Framing, SliceSet, read_slices
from napari_brgm.errors import InputError
from napari_brgm.priors.prior import PriorInfo
from napari_brgm.training.poses import Poses
from napari_brgm.training.recipe import Recipe, fitted, linear_recipe, train_prior
from napari_brgm.training.refine import RefineSettings
from napari_brgm.training.shipped import SHIPPED

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
    assert (prior.resolution, prior.latents.rank, prior.info.weights_sha256) == (128, 6, digest)
    image = ((prior.sample(1, seed=3)[0, 0] + 1) * 127.5).numpy()
    missing = np.zeros((128, 128), bool)
    missing[50:70, 50:70] = True
    result = restore(image, Mask(missing), prior, samples=2, device="cpu")
    error = np.sqrt(((result.estimate - image)[missing] ** 2).mean())
    assert error < 0.5 * np.sqrt(((image - 127.5 * (prior.base.mean[0].numpy() + 1))[missing] ** 2).mean() + 25)
    assert torch.isfinite(torch.from_numpy(result.variance)).all()


def test_few_slices_get_few_components(slices, tmp_path):
    lines = []
    recipe = fitted(linear_recipe(INFO, 128), slices, lines.append)
    assert (recipe.components, recipe.encoder_latents, recipe.refine.style_latents) == (12, 12, 12)
    pixels = int((slices.images.max(axis=0) > 2).sum())
    assert 4000 < pixels < 16384
    assert lines == [
        f"12 components instead of 1024, for 48 slices with their copies, {pixels} pixels that are not always black"
    ]
    assert fitted(recipe, slices, lines.append) == recipe and len(lines) == 1
    assert fitted(replace(linear_recipe(INFO, 128), grid=8), slices, lines.append).components == 7  # of 29 pixels
    assert all(fitted(shipped.recipe, _as_many(898)) == shipped.recipe for shipped in SHIPPED.values() if
               shipped.recipe.poses.copies == 4)  # fmt: skip


def test_pixels_that_are_always_black_give_no_components(slices):
    """Catches components of length 0, by which estimates are divided: the training went on with nan."""
    images = np.zeros_like(slices.images)
    images[..., 60:64, 50:60] = 90
    recipe = fitted(linear_recipe(INFO, 128), replace(slices, images=images), lambda _line: None)
    assert recipe.components == 10  # of 40 pixels, not 12 of 48 slices


def _as_many(count):
    images = np.full((count, 1, 8, 8), 99, np.uint8)
    subjects = np.arange(count) % 10
    return SliceSet(images, subjects, ("",) * count, tuple("abcdefghij"), Framing(8))


def test_shortened_keeps_the_schedule():
    recipe = linear_recipe(INFO, 128)
    short = recipe.shortened(7_000)
    assert (short.refine.images, short.refine.stages, short.encoder_steps) == (7_000, ((64, 5_000),), 400)
    assert recipe.shortened(140_000).encoder_steps == recipe.encoder_steps


def test_slices_that_cannot_be_trained_on_are_refused(slices, tmp_path):
    def refused(found, recipe, sentence):
        with pytest.raises(InputError, match=sentence):
            train_prior(found, tmp_path / "work", tmp_path / "w.safetensors", recipe, lambda _line: None)
        assert not (tmp_path / "work").exists()

    refused(slices.taking(np.arange(12)), TINY, "12 slices are too few to train on; give at least 16")
    two = slices.taking(np.flatnonzero(slices.subjects < 2))
    refused(two, replace(TINY, folds=3), "8 slices are too few")
    many = slices.taking(np.r_[0:8, 0:8])
    refused(many, TINY, r"of 2 subject\(s\); the linear recipe needs those of at least 3")
    with pytest.raises(InputError, match="resolution of 32, 64"):
        linear_recipe(INFO, 100)


def test_stages_of_other_slices_or_settings_are_not_gone_on_with(slices, tmp_path):
    def again(found, recipe):
        return train_prior(found, tmp_path / "work", tmp_path / "w.safetensors", recipe, lambda _line: None, seconds=0)

    assert again(slices, TINY) is None
    before = {p.name: p.stat().st_mtime_ns for p in (tmp_path / "work").iterdir()}
    other = replace(slices, images=slices.images[::-1])
    with pytest.raises(InputError, match="is of other slices"):
        again(other, TINY)
    with pytest.raises(InputError, match="is of another mirror; choose another folder"):
        again(slices, replace(TINY, mirror=False))
    with pytest.raises(InputError, match="is of another seed;"):
        again(slices, replace(TINY, refine=replace(TINY.refine, seed=1)))
    assert {p.name: p.stat().st_mtime_ns for p in (tmp_path / "work").iterdir()} == before
    again(slices, TINY.shortened(32))  # longer or shorter is the same training
    (tmp_path / "work" / "made-by.json").unlink()
    with pytest.raises(InputError, match="do not say what they are of"):
        again(slices, TINY)
