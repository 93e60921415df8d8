"""The recipe learns, resumes as if it had never stopped, and gives a prior that can be written and restored with."""

from __future__ import annotations

import itertools
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from napari_brgm.datasets import Framing, SliceSet
from napari_brgm.errors import BrgmError, InputError
from napari_brgm.inference.inversion import invert, starting_latents
from napari_brgm.priors.prior import PriorInfo
from napari_brgm.training import autoencoder as package
from napari_brgm.training.autoencoder import train_autoencoder
from napari_brgm.training.autoencoder_settings import AutoencoderSettings, autoencoder_settings
from napari_brgm.training.checkpoint import load_checkpoint
from napari_brgm.training.gan_settings import GanSettings
from napari_brgm.zoo.files import read_prior, write_prior

TINY = AutoencoderSettings(
    widths=((8, 12), (16, 8)), latents=6, encoder_widths=(4, 6, 6), direct=8, images=96, batch=8, warmup_images=16,
    report_images=32, mirror=True,
)  # fmt: skip


def slice_set(images: torch.Tensor, dtype: type = np.uint8) -> SliceSet:
    """Slices of pictures (N, 1, R, R) in [-1, 1], four of each subject."""
    white = np.iinfo(dtype).max
    grey = ((images + 1) * (white / 2)).round().clamp(0, white).numpy().astype(dtype)
    n = len(images)
    names = tuple(str(i) for i in range(n))
    return SliceSet(grey, np.arange(n) // 4, names, names[: (n + 3) // 4], Framing(images.shape[-1]))


@pytest.fixture(scope="module")
def slices(smooth_images) -> SliceSet:
    """Smooth pictures with a sharp edge that a small linear model cannot draw."""
    smooth = smooth_images(64, 16, seed=6)
    return slice_set(torch.where(smooth > 0.1, smooth + 0.4, smooth).clamp(-1, 1))


def test_a_stopped_training_goes_on_as_if_it_had_not(slices, tmp_path, monkeypatch):
    """Catches anything that changes and is not in the checkpoint; losses and weights are equal to the last bit."""
    parts, whole = [], []
    unstopped = train_autoencoder(slices, TINY, tmp_path / "whole", report=whole.append)
    ticks = itertools.count()
    with monkeypatch.context() as patched:
        patched.setattr(package, "time", SimpleNamespace(monotonic=lambda: float(next(ticks))))
        early = train_autoencoder(slices, TINY, tmp_path / "parts", report=parts.append, seconds=7.0)
    assert 0 < early.shown < TINY.images
    assert early.shown % TINY.report_images  # stopped between two reports
    assert not early.finished
    resumed = train_autoencoder(slices, TINY, tmp_path / "parts", report=parts.append)
    assert resumed.finished
    assert resumed.shown == unstopped.shown == 96
    told = [line.split("  ")[:4] for line in parts if " of " in line]  # all but the speed
    assert told == [line.split("  ")[:4] for line in whole]
    assert len(told) == 3
    for kind in ("net", "average"):
        a, b = (load_checkpoint(tmp_path / name / "checkpoint")[kind] for name in ("whole", "parts"))
        assert all(torch.equal(a[k], b[k]) for k in a)
    assert torch.equal(unstopped.prior.latents.covariance, resumed.prior.latents.covariance)
    again = train_autoencoder(slices, TINY, tmp_path / "whole", report=parts.append)  # finished: nothing is shown
    assert torch.equal(again.prior.latents.mean, unstopped.prior.latents.mean)


def test_it_learns_what_the_linear_start_lacks(slices, tmp_path):
    """Held-out error falls; catches a target that does not belong to its latents."""
    kept, unseen = slices.split(0.25)
    settings = replace(
        TINY, widths=((8, 16), (16, 16)), images=1200, learning_rate=1e-2, ema_images=100.0, report_images=400,
    )  # fmt: skip
    before = train_autoencoder(kept, replace(settings, images=8, learning_rate=1e-9), tmp_path / "0", held_out=unseen)
    lines = []
    after = train_autoencoder(kept, settings, tmp_path / "1", held_out=unseen, report=lines.append)
    assert after.rmse < 0.9 * before.rmse
    assert after.prior.info.representation_sigma == pytest.approx(after.rmse)
    assert f"held-out RMSE {after.rmse:.2f}" in lines[-1]
    assert "1,200 of 1,200 slices  l1 " in lines[-1]
    assert (tmp_path / "1" / "samples.png").is_file()


def test_the_prior_is_complete(slices, tmp_path):
    """Written, read, drawn from, inverted from its encoder; p(w) has the latents' spread."""
    info = PriorInfo("toy", "MR T1", "axial", 1.5)
    prior = train_autoencoder(slices, TINY, tmp_path / "w", info=info, report=lambda _: None).prior
    write_prior(prior, tmp_path / "toy.safetensors", torch.float32)
    again = read_prior(tmp_path / "toy.safetensors")
    assert again.base is None
    assert again.mapping is None
    assert again.info.modality == "MR T1"
    torch.testing.assert_close(again.sample(2, seed=1), prior.sample(2, seed=1))
    images = torch.from_numpy(slices.images[:3]).float() / 127.5 - 1
    assert again.parts.encoder is not None
    torch.testing.assert_close(starting_latents(again, images), prior.parts.encoder.encode(images))
    found = invert(again, images, steps=10)
    assert float(found.rmse.mean()) < float(found.trace[0].mean())
    assert bool((torch.linalg.eigvalsh(prior.latents.covariance) > 0).all())
    assert 0.5 < float(prior.latents.std.mean()) < 1.5
    assert all(float(p) == 0 for name, p in prior.synthesis.named_parameters() if name.endswith("noise_strength"))


def test_16_bit_slices_train_as_8_bit_ones(smooth_images, tmp_path):
    """Catches 16-bit levels read as signed ones."""
    images = smooth_images(24, 16)
    short = replace(TINY, images=16)
    errors = []
    for dtype in (np.uint8, np.uint16):
        kept, unseen = slice_set(images, dtype).split(0.2)
        work = tmp_path / dtype.__name__
        errors.append(train_autoencoder(kept, short, work, held_out=unseen, report=lambda _: None).rmse)
        assert max(path.stat().st_size for path in (work / "checkpoint").iterdir()) <= 16e6
    assert errors[0] == pytest.approx(errors[1], rel=0.25)


def test_a_diverging_training_is_told_and_not_kept(slices, tmp_path):
    wild = replace(TINY, learning_rate=1e20, images=64, warmup_images=0)
    with pytest.raises(BrgmError, match="lower learning_rate"):
        train_autoencoder(slices, wild, tmp_path, report=lambda _: None)
    assert not (tmp_path / "checkpoint").exists()


def test_what_does_not_fit_is_refused(slices, smooth_images, tmp_path):
    train_autoencoder(slices, replace(TINY, images=8), tmp_path, report=lambda _: None)
    with pytest.raises(InputError, match="other settings"):
        train_autoencoder(slices, replace(TINY, images=16), tmp_path)
    with pytest.raises(InputError, match="other slices"):
        train_autoencoder(slices.split(0.25)[0], replace(TINY, images=8), tmp_path)
    with pytest.raises(InputError, match="32 pixels a side where the network draws 16"):
        train_autoencoder(slice_set(smooth_images(20, 32)), TINY, tmp_path / "new")
    with pytest.raises(InputError, match="must double"):
        replace(TINY, widths=((8, 4), (32, 4)))
    with pytest.raises(InputError, match="direct must divide"):
        replace(TINY, direct=4)
    with pytest.raises(InputError, match="128 and 256"):
        autoencoder_settings(64)


@pytest.mark.parametrize("resolution", [128, 256])
def test_warm_start_has_the_network_of_the_gan_recipe(resolution):
    """Catches weights that no tensor of the adversarial training would fit."""
    settings, gan = autoencoder_settings(resolution, warm_start=True), GanSettings()
    assert dict(settings.widths) == gan.widths(resolution)
    assert settings.latents == gan.latent
    assert autoencoder_settings(resolution).resolution == resolution
