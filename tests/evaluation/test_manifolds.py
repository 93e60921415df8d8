"""The table of manifolds on made-up slices: it measures all rows, goes on after a cut, and refuses in a sentence."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
import torch
from PIL import Image

from napari_brgm.errors import InputError, WeightsError
from napari_brgm.evaluation import manifolds
from napari_brgm.evaluation.dataset import Slices
from napari_brgm.evaluation.manifolds import MANIFOLD_TASKS, run
from napari_brgm.priors.deep_image import DeepImagePrior
from napari_brgm.priors.linear_gaussian import LinearGaussian
from napari_brgm.settings import preset
from napari_brgm.zoo.files import write_prior

LINEAR = ("linear-64", "linear-1024", "linear-1024-hard")
TASKS = ("missing-95", "x8")


@pytest.fixture
def table(smooth_images, tiny_manifold, monkeypatch, tmp_path):
    """``make(count, tasks, rivals_dir)``: the table with tiny priors and steps; and what it restored."""
    images = 127.5 * (smooth_images(60, 128)[:, 0].numpy() + 1)
    truth = Slices(images[:50], tuple((0, i) for i in range(50)))
    model = LinearGaussian.fit(torch.from_numpy(images[50:])[:, None] / 127.5 - 1, 3)

    class Known(manifolds.TrainingSet):
        def linear_gaussian(self, components):
            return model

    loaded = {
        "brain-axial-lcm-128": tiny_manifold, "brain-axial-128": model, "deep-image": DeepImagePrior(),
    }  # fmt: skip
    monkeypatch.setattr(manifolds, "read_brain_slices", lambda path, stride: truth)
    monkeypatch.setattr(manifolds, "TrainingSet", Known)
    monkeypatch.setattr(manifolds, "load_prior", loaded.__getitem__)
    monkeypatch.setattr(manifolds, "preset", lambda name: preset(name).but(steps=2))

    def make(count=2, tasks=TASKS, rivals=None, sheet=False, **named):
        out = tmp_path / "out"
        out.mkdir(exist_ok=True)
        if not sheet:
            monkeypatch.setattr(manifolds, "contact_sheet", lambda *_: None)
        return run(tmp_path, out, rivals, count, tasks, samples=2, device="cpu", **named)

    return make


def test_all_rows_are_measured(table, tiny_manifold, tmp_path):
    folder = tmp_path / "rivals"
    folder.mkdir()
    write_prior(tiny_manifold, folder / "optz.safetensors")
    seen = []
    report = table(rivals=folder, sheet=True, progress=lambda *said: seen.append(said))
    results = json.loads((tmp_path / "out" / "results.json").read_text())
    rows = [
        *LINEAR, "stylegan2-field", "stylegan2", "lcm-shipped-field", "lcm-shipped", "lcm-shipped-box", "optz",
        "optz-box", "dip",
    ]  # fmt: skip
    assert list(results["methods"]) == [row.method for row in report.rows] == rows
    assert (
        len(MANIFOLD_TASKS) == 11 and results["about"]["slices"] == 2 and len(report.notes) == 3
    )  # lcm, glo and autoencoder are left out
    assert set(results["methods"]["dip"]["tasks"]) == set(TASKS)
    assert set(results["methods"]["linear-1024-hard"]["tasks"]) == {"x8"}
    for row in report.rows:
        assert all(np.isfinite(scores.rmse) and scores.rmse > 0 for scores in row.scores.values()), row.method
    assert "95 % missing" in (tmp_path / "out" / "results.md").read_text()
    with Image.open(tmp_path / "out" / "contact_sheet.png") as sheet:
        assert min(sheet.size) > 300
    assert [done for done, _, _ in seen] == sorted(done for done, _, _ in seen)
    assert seen[-1][0] == seen[-1][1] - 1


def test_a_row_says_what_it_restores_with(table, monkeypatch):
    """Fields only where the row says so; the box with all of phi; each prior with its own preset."""
    made = {}

    class Noted(manifolds.Ours):
        def __init__(self, name, title, method, prior, settings, **how):
            super().__init__(name, title, method, prior, settings, **how)
            made[name] = settings

    monkeypatch.setattr(manifolds, "Ours", Noted)
    table(1, ("x8",))
    assert {name for name, s in made.items() if s.residual_field} == {"stylegan2-field", "lcm-shipped-field"}
    assert made["lcm-shipped"].name == "manifold" and made["dip"].name == "untrained"
    assert made["lcm-shipped-box"].prior_density == "flat" and made["stylegan2"].name == "default"


def test_a_second_run_measures_nothing_again(table, monkeypatch):
    table(1, ("x8",))

    def fail(*_, **__):
        raise AssertionError("measured again")

    monkeypatch.setattr("napari_brgm.evaluation.ours.run", fail)
    table(1, ("x8",))
    with pytest.raises(AssertionError, match="measured again"):
        table(1, ("x4",))


def test_refusals_are_one_sentence(table, tmp_path, monkeypatch):
    with pytest.raises(InputError, match="no task 'x3'; choose from mask-0"):
        table(2, ("x3", "x2"))
    with pytest.raises(InputError, match="at least one task"):
        table(2, ())
    for count in (0, 51):
        with pytest.raises(InputError, match="1 to 50 slices"):
            table(count)
    (tmp_path / "glo.safetensors").write_bytes(b"no weights")
    with pytest.raises(WeightsError, match="glo"):
        table(rivals=tmp_path)


def test_a_rival_that_was_trained_anew_is_measured_anew(table, tiny_manifold, tmp_path):
    """Catches a cache that goes by the name of the file."""
    scores = []
    for gain in (1.0, 0.5):
        info = replace(tiny_manifold.info, name="glo")
        basis = gain * tiny_manifold.latents.basis
        prior = type(tiny_manifold)(
            tiny_manifold.latent_map, tiny_manifold.generator, replace(tiny_manifold.latents, basis=basis), info
        )
        write_prior(prior, tmp_path / "glo.safetensors")
        report = table(1, ("x8",), tmp_path)
        scores.append(next(row for row in report.rows if row.method == "glo").scores["x8"].rmse)
    assert scores[0] != scores[1]
