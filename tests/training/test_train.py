"""Every recipe ends in a weights file that restores, with its card and samples beside it."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from napari_brgm import Mask, load_prior, restore
from napari_brgm.datasets import Framing, SliceSet
from napari_brgm.errors import InputError
from napari_brgm.priors.prior import PriorInfo
from napari_brgm.training.autoencoder_settings import AutoencoderSettings
from napari_brgm.training.card import Card, write_card
from napari_brgm.training.checkpoint import load_checkpoint
from napari_brgm.training.gan import train_gan
from napari_brgm.training.gan_settings import GanSettings
from napari_brgm.training.lcm_settings import LcmSettings
from napari_brgm.training.poses import Poses
from napari_brgm.training.recipe import Recipe
from napari_brgm.training.refine import RefineSettings
from napari_brgm.training.train import TrainingRun, train

INFO = PriorInfo("tiny", "MR T1", "axial", 2.0, representation_sigma=50.0)
SETTINGS = {
    "linear": Recipe(
        INFO, components=8, poses=Poses(0), corruptions=2, encoder_widths=(4, 6, 8), encoder_steps=2, encoder_latents=4,
        refine=RefineSettings(widths=((8, 4), (16, 4), (32, 4)), style_latents=4, images=16, batch=8),
    ),
    "autoencoder": AutoencoderSettings(
        widths=((8, 8), (16, 8), (32, 4)), latents=8, encoder_widths=(4, 6, 8), direct=8, images=64, batch=8,
        warmup_images=8,
    ),
    "gan": GanSettings(
        channel_base=128, channel_max=8, latent=8, images=32, batch=8, group=4, evaluate_seconds=1e9, save_seconds=1e9
    ),
    "lcm": LcmSettings(trunk=(4, 6), fine=(), components=6, images=24, batch=8, warmup_images=8, every=2),
}  # fmt: skip


@pytest.fixture(scope="module")
def slices() -> SliceSet:
    """Twenty subjects of three slices: ellipses with a bar in them."""
    random = np.random.default_rng(0)
    row, column = np.mgrid[:32, :32] - 15.5
    images = np.zeros((60, 1, 32, 32), np.uint8)
    for i in range(60):
        inside = (row / random.uniform(10, 14)) ** 2 + (column / random.uniform(8, 12)) ** 2 < 1
        images[i, 0] = inside * (random.uniform(100, 180) + 40 * (np.abs(row) < random.uniform(2, 5)))
    names = tuple(f"slice-{i}" for i in range(60))
    subjects = tuple(f"subject-{i}" for i in range(20))
    return SliceSet(images, np.arange(60) // 3, names, subjects, Framing(32, 2.0))


@pytest.mark.parametrize("recipe", list(SETTINGS))
def test_a_recipe_ends_in_a_prior_that_restores(recipe, slices, tmp_path, monkeypatch):
    """Catches a recipe whose file has no latents, whose residual field has another frame, or whose card is missing."""
    import napari_brgm.training.train as module

    monkeypatch.setattr(module, "_STEPS", 3)
    monkeypatch.setattr(module, "_MANIFOLD_STEPS", 3)
    monkeypatch.setattr(
        module, "gan_encoder", lambda prior, widths, device: _untrained(prior)
    )  # trained in tests/training/test_gan_prior.py
    lines: list[str] = []
    shown: list[tuple[int, int]] = []
    run = TrainingRun(
        tmp_path / "work", tmp_path / "w.safetensors", "cpu", report=lines.append,
        progress=lambda done, total: shown.append((done, total)),
    )  # fmt: skip
    digest = train(slices, INFO, SETTINGS[recipe], run)
    prior = load_prior(run.out)
    assert prior.info.weights_sha256 == digest and prior.resolution == 32 and prior.info.modality == "MR T1"
    assert prior.parts.residual is not None and prior.parts.residual.std.shape == (32, 32)
    assert np.isfinite(prior.info.representation_sigma) and prior.info.representation_sigma > 0
    card = run.out.with_suffix(".md").read_text(encoding="utf-8")
    assert "not for diagnosis" in card and digest in card and "60 slices of 20 subjects" in card
    assert "subject-3" not in card  # names of subjects stay out of it
    assert run.out.with_suffix(".png").stat().st_size > 100
    image = slices.images[0, 0].astype(np.float32)
    hole = np.zeros((32, 32), bool)
    hole[12:18, 12:18] = True
    result = restore(image, Mask(hole), prior, samples=2, device="cpu")
    np.testing.assert_array_equal(result.estimate[~hole], image[~hole])
    assert np.isfinite(result.variance).all()
    assert any(digest in line for line in lines)
    assert shown[-1][0] == shown[-1][1] > 0


def _untrained(prior):
    from napari_brgm.priors.encoder import Encoder

    torch.manual_seed(0)
    return Encoder((4, 6), prior.latents.rank, 32)


def test_an_unfinished_training_gives_a_prior_when_told(slices, tmp_path, monkeypatch):
    """Catches a training that must show all its images before anything can be used; and a card that says it did."""
    import napari_brgm.training.train as module

    monkeypatch.setattr(module, "_STEPS", 2)
    monkeypatch.setattr(module, "gan_encoder", lambda prior, widths, device: _untrained(prior))
    lines: list[str] = []
    run = TrainingRun(tmp_path / "work", tmp_path / "w.safetensors", "cpu", report=lines.append)
    train_gan(slices, replace(SETTINGS["gan"], images=16), run.work, device="cpu", report=lines.append)
    kept = load_checkpoint(run.work / "checkpoint")
    digest = train(slices, INFO, SETTINGS["gan"], replace(run, finish=True))
    prior = load_prior(run.out)
    assert prior.info.weights_sha256 == digest and prior.parts.residual is not None and prior.parts.encoder is not None
    assert "| `images` | 16 |" in run.out.with_suffix(".md").read_text(encoding="utf-8")
    wanted = kept["nets"]["average"]["synthesis.b4.const"]
    torch.testing.assert_close(prior.synthesis.b4.const, wanted, rtol=1e-3, atol=1e-3)
    assert load_checkpoint(run.work / "checkpoint")["shown"] == 16  # and the training can go on
    coarse = replace(slices, images=slices.images[..., ::2, ::2].copy(), framing=Framing(16, 4.0))
    with pytest.raises(InputError, match="32 pixels, the slices have 16"):
        train(coarse, INFO, SETTINGS["gan"], replace(run, finish=True))


def test_a_training_that_ends_late_leaves_the_weights_to_the_next_run(slices, tmp_path, monkeypatch):
    """Catches a run that is cut by its time limit in the middle of the encoder."""
    import napari_brgm.training.train as module

    monkeypatch.setattr(module, "_STEPS", 2)
    monkeypatch.setattr(module, "gan_encoder", lambda prior, widths, device: _untrained(prior))
    monkeypatch.setattr(module, "_LATEST", 1e-9)
    lines: list[str] = []
    run = TrainingRun(tmp_path / "work", tmp_path / "w.safetensors", "cpu", seconds=1e6, report=lines.append)
    assert train(slices, INFO, SETTINGS["gan"], run) is None
    assert not run.out.exists() and any("the training is done" in line for line in lines)
    monkeypatch.setattr(module, "_LATEST", 0.5)
    assert train(slices, INFO, SETTINGS["gan"], run) is not None and run.out.exists()


def test_time_that_runs_out_keeps_the_work(slices, tmp_path):
    run = TrainingRun(tmp_path / "work", tmp_path / "w.safetensors", "cpu", seconds=0.0, report=lambda _line: None)
    for settings in SETTINGS.values():
        assert train(slices, INFO, settings, run) is None
        assert not run.out.exists()
        run = TrainingRun(tmp_path / type(settings).__name__, run.out, "cpu", seconds=0.0, report=lambda _line: None)


def test_too_few_subjects_are_refused(slices, tmp_path):
    one = slices.taking(np.flatnonzero(slices.subjects == 0))
    run = TrainingRun(tmp_path / "work", tmp_path / "w.safetensors", "cpu", report=lambda _line: None)
    with pytest.raises(InputError, match="subject"):
        train(one, INFO, SETTINGS["gan"], run)


def test_a_card_that_a_person_has_finished_is_kept(slices, tmp_path):
    weights = tmp_path / "w.safetensors"
    card = Card(INFO, slices.describe(), SETTINGS["gan"], "0" * 64, 60.0)
    write_card(weights, card)
    path = tmp_path / "w.md"
    draft = path.read_text(encoding="utf-8")
    assert "to be written by the person" in draft and "| `latent` | 8 |" in draft
    write_card(weights, Card(INFO, slices.describe(), SETTINGS["gan"], "1" * 64, 60.0))
    assert "1" * 64 in path.read_text(encoding="utf-8")  # a draft is brought up to date
    path.write_text("# mine", encoding="utf-8")
    write_card(weights, card)
    assert path.read_text(encoding="utf-8") == "# mine"


def test_augmentation_continues_what_reaches_the_border(slices):
    """Catches black wedges in augmented X-rays, which a generator would learn to draw."""
    from napari_brgm.training.train import _with_edge

    assert _with_edge(SETTINGS["gan"], slices).augment.edge == "black"
    bright = replace(slices, images=np.maximum(slices.images, 60))
    assert _with_edge(SETTINGS["gan"], bright).augment.edge == "reflect"


def test_every_uses_one_of_so_many_slices(slices, tmp_path):
    """In their order, and of the kept subjects alone; what is held out is not thinned."""
    run = TrainingRun(tmp_path / "work", tmp_path / "w.safetensors", "cpu", seconds=0.0, report=lambda _line: None)
    for every, wanted in ((1, 54), (2, 27), (3, 18)):
        work = tmp_path / str(every)
        assert train(slices, INFO, replace(SETTINGS["lcm"], every=every), replace(run, work=work)) is None
        assert load_checkpoint(work / "checkpoint")["slices"] == [wanted, 1, 32, 32]
    with pytest.raises(InputError, match="6 slices are too few for batches of 8"):
        train(slices, INFO, replace(SETTINGS["lcm"], every=9), replace(run, work=tmp_path / "few"))
