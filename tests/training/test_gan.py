"""Adversarial training: resumes exactly, learns, stops in time, and says what went wrong."""

from __future__ import annotations

import itertools
import json
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from napari_brgm.datasets.framing import Framing
from napari_brgm.datasets.slice_set import SliceSet
from napari_brgm.errors import BrgmError, Cancelled, InputError
from napari_brgm.training import gan_figures, gan_loop, gan_step
from napari_brgm.training.checkpoint import load_checkpoint
from napari_brgm.training.gan import train_gan
from napari_brgm.training.gan_figures import GanEvaluation
from napari_brgm.training.gan_settings import GanSettings

SETTINGS = GanSettings(
    channel_base=64, channel_max=8, latent=8, mapping_layers=1, batch=8, images=96, r1_every=3, path_every=2,
    ada_every=2, ada_images=200, ada_target=-0.5, noise=True, mirror=True, report_steps=5, save_seconds=1e9,
    evaluate_seconds=1e9,
)  # fmt: skip
QUICK = GanEvaluation(samples=32, inversion_steps=2, rows=2, columns=3)


def blobs(n: int, seed: int = 0, size: int = 8) -> SliceSet:
    """Grey discs on black, whose brightness and place vary."""
    random = np.random.default_rng(seed)
    axis = np.arange(size)
    centre = size / 2 + random.uniform(-1, 1, (n, 2, 1, 1))
    radius = np.hypot(axis[:, None] - centre[:, 0], axis[None] - centre[:, 1])
    light = random.uniform(120, 220, (n, 1, 1))
    images = (light * (radius < size / 3)).astype(np.uint8)[:, None]
    names = tuple(str(i) for i in range(n))
    return SliceSet(images, np.arange(n), names, names, Framing(size))


def train(work, settings=SETTINGS, **options):
    options = {"report": lambda line: None, "device": "cpu", "evaluation": QUICK} | options
    return train_gan(blobs(40), settings, work, **options)


def ticking() -> SimpleNamespace:
    """A clock that advances by a second whenever it is looked at."""
    ticks = itertools.count()
    return SimpleNamespace(monotonic=lambda: float(next(ticks)))


def losses(work) -> list[dict[str, float]]:
    """Figures of the log that do not depend on the clock."""
    lines = [json.loads(line) for line in (work / "log.jsonl").read_text().splitlines()]
    return [{k: v for k, v in line.items() if k not in ("seconds", "rate", "frechet")} for line in lines]


def test_stopped_and_resumed_is_the_uninterrupted_training(tmp_path, monkeypatch):
    """Bit for bit, with every regulariser, noise, mirror images and augmentation on."""
    whole = train(tmp_path / "whole")
    with monkeypatch.context() as patched:
        clock = ticking()
        patched.setattr(gan_loop, "time", clock)
        patched.setattr("napari_brgm.training.gan.time", clock)
        early = train(tmp_path / "parts", seconds=22.0)
    assert 0 < early.shown < SETTINGS.images
    assert early.shown % (SETTINGS.batch * SETTINGS.report_steps)  # between two reports: sums under way count too
    assert not early.finished
    resumed = train(tmp_path / "parts")
    assert whole.finished
    assert resumed.finished
    for name in ("network", "discriminator"):
        theirs = getattr(resumed, name).state_dict()
        for k, v in getattr(whole, name).state_dict().items():
            assert torch.equal(v, theirs[k]), k
    a, b = losses(tmp_path / "whole"), losses(tmp_path / "parts")
    by_shown = {line["shown"]: line for line in b if "loss_generator" in line}
    compared = [line for line in a if "loss_generator" in line and line["shown"] < SETTINGS.images]
    assert len(compared) == 2
    assert all(by_shown[line["shown"]] == line for line in compared)
    states = [load_checkpoint(tmp_path / name / "checkpoint") for name in ("whole", "parts")]
    assert torch.equal(states[0]["random"], states[1]["random"])
    assert float(states[0]["ada"]["p"]) == float(states[1]["ada"]["p"]) > 0


def test_it_learns_where_the_light_is(tmp_path):
    """The mean image and the spread of brightness approach those of the slices; either is far off at the start."""
    settings = replace(
        SETTINGS, channel_max=16, channel_base=128, images=8 * 60, noise=False, mirror=False, r1_every=4,
        path_weight=0.0, r1_gamma=0.2, learning_rate=1e-2, ema_images=100.0, ada_most=0.0,
    )  # fmt: skip
    real = torch.from_numpy(blobs(40).images).float() / 127.5 - 1

    def distance(net) -> tuple[float, float]:
        with torch.no_grad():
            drawn = net.synthesis(net.mapping(torch.randn(256, 8, generator=torch.Generator().manual_seed(0))), "none")
        mean = float((drawn.mean(dim=0) - real.mean(dim=0)).square().mean().sqrt())
        light = drawn.mean(dim=(1, 2, 3)).std() / real.mean(dim=(1, 2, 3)).std()
        return mean, float(light)

    before, _ = distance(train(tmp_path / "start", replace(settings, images=16)).network)
    after, light = distance(train(tmp_path / "end", settings).network)
    assert before > 0.4
    assert after < 0.2
    assert 0.3 < light < 3


def test_figures_picture_and_held_out_error(tmp_path):
    told = []
    result = train(tmp_path, held_out=blobs(6, seed=1), progress=told.append)
    assert result.figures["rmse"] > 0
    assert result.figures["frechet"] > 0
    assert {"loss_generator", "loss_discriminator", "r1", "path_length", "ada", "overfitting"} <= told[0].values.keys()
    assert told[-1].shown == 96
    assert "96 of 96 images" in str(told[-1])
    assert (tmp_path / "samples.png").stat().st_size > 0
    assert result.figures == told[-1].values


def test_a_loss_that_is_no_number_stops_and_leaves_the_checkpoint(tmp_path, monkeypatch):
    train(tmp_path, replace(SETTINGS, images=40))
    kept = load_checkpoint(tmp_path / "checkpoint")
    monkeypatch.setattr(gan_step, "generator_loss", lambda logits: logits.sum() * torch.nan)
    with pytest.raises(BrgmError, match=r"unstable.*the last checkpoint is kept"):
        train(tmp_path)
    after = load_checkpoint(tmp_path / "checkpoint")
    assert after["shown"] == kept["shown"] == 40
    assert all(torch.equal(v, after["nets"]["average"][k]) for k, v in kept["nets"]["average"].items())


def test_cancelled_keeps_what_was_reached(tmp_path):
    def stop(figures):
        raise Cancelled("stopped")

    with pytest.raises(Cancelled):
        train(tmp_path, progress=stop)
    assert load_checkpoint(tmp_path / "checkpoint")["shown"] == 40
    assert train(tmp_path).shown == 96


def test_a_judge_that_fails_does_not_end_the_training(tmp_path, monkeypatch):
    def broken(*arguments):
        raise RuntimeError("no convergence")

    monkeypatch.setattr("napari_brgm.training.gan_figures.frechet_distance", broken)
    said = []
    assert train(tmp_path, report=said.append).finished
    assert any("could not be judged" in line for line in said)


def test_slow_evaluations_are_rare(tmp_path, monkeypatch):
    """Catches an evaluation that takes half of the time of a run because it takes longer than its pause."""
    counted = []
    monkeypatch.setattr(gan_figures.Judge, "__call__", lambda *arguments: counted.append(1) or {})
    settings = replace(SETTINGS, images=40, report_steps=1, evaluate_seconds=0.0)
    monkeypatch.setattr(gan_loop, "_RARELY", 0)
    train(tmp_path / "often", settings)
    often = len(counted)
    monkeypatch.setattr(gan_loop, "_RARELY", 1e12)
    train(tmp_path / "rare", settings)
    assert often > 3
    assert len(counted) - often == 2  # after the first report and at the end


def test_networks_that_cannot_be_compiled_run_as_they_are(tmp_path, monkeypatch):
    def broken(function):
        raise OSError("no compiler")

    monkeypatch.setattr(torch, "compile", broken)
    said = []
    plain = train(tmp_path / "plain", replace(SETTINGS, images=16))
    fallen = train(tmp_path / "fallen", replace(SETTINGS, images=16, compiled=True), report=said.append)
    assert any("could not be compiled (OSError)" in line for line in said)
    for a, b in zip(plain.network.parameters(), fallen.network.parameters(), strict=True):
        assert torch.equal(a, b)


def test_bfloat16_trains(tmp_path):
    """The path that runs on a GPU, here on the CPU: finite through both regularisers."""
    result = train(tmp_path, replace(SETTINGS, images=40, precision="bfloat16", half_from=8))
    assert all(p.isfinite().all() for p in result.network.parameters())
    assert result.figures["r1"] > 0


def test_refusals(tmp_path):
    with pytest.raises(InputError, match="fewer than a batch"):
        train(tmp_path, replace(SETTINGS, batch=64))
    with pytest.raises(InputError, match="held-out"):
        train(tmp_path, held_out=blobs(4, size=16))
    train(tmp_path, replace(SETTINGS, images=8))
    with pytest.raises(InputError, match="latent 8"):
        train(tmp_path, replace(SETTINGS, latent=4))
