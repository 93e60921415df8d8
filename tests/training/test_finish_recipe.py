"""The finish recipe on slices of 64 pixels with eight components: cut, going on, the file; and what it refuses."""

from __future__ import annotations

from dataclasses import replace
from functools import partial

import numpy as np
import pytest
import torch

from napari_brgm.datasets import Framing, SliceSet
from napari_brgm.errors import InputError, WeightsError
from napari_brgm.likelihood import from_grey
from napari_brgm.priors.latents import LatentStatistics
from napari_brgm.priors.linear_gaussian import LinearGaussian
from napari_brgm.priors.linear_model import LinearModel
from napari_brgm.priors.parts import Line
from napari_brgm.priors.prior import PriorInfo
from napari_brgm.priors.stylegan2 import Synthesis
from napari_brgm.priors.stylegan2_prior import StyleGAN2Prior
from napari_brgm.tensor_file import read_tensors
from napari_brgm.training import bandwidths, finish, finish_inputs, finish_loop
from napari_brgm.training.checkpoint import load_checkpoint
from napari_brgm.training.finish import FinishSettings
from napari_brgm.training.finish_critics import WholeCritic
from napari_brgm.training.finish_recipe import check_finishable, train_finish
from napari_brgm.training.finish_run import FinishRun
from napari_brgm.zoo.files import read_prior, write_prior

SMALL = FinishSettings(images=64, batch=32, widths=(4, 6, 8, 8), critic=(6, 8, 8), averaged=64, precision=torch.float32)


@pytest.fixture(autouse=True)
def quick(monkeypatch):
    monkeypatch.setattr(bandwidths, "_STEPS", 3)
    monkeypatch.setattr(finish, "WholeCritic", partial(WholeCritic, widths=(4, 6, 8)))


@pytest.fixture(scope="module")
def slices() -> SliceSet:
    """Twelve subjects of four slices: ellipses with a bar and grain in them."""
    random = np.random.default_rng(0)
    row, column = np.mgrid[:64, :64] - 31.5
    images = np.zeros((48, 1, 64, 64), np.uint8)
    for i in range(48):
        inside = (row / random.uniform(20, 28)) ** 2 + (column / random.uniform(16, 24)) ** 2 < 1
        bar = 40 * (np.abs(row) < random.uniform(4, 10))
        images[i, 0] = inside * (random.uniform(100, 150) + bar + random.integers(0, 30, (64, 64)))
    names = tuple(f"slice-{i}" for i in range(48))
    subjects = tuple(f"subject-{i}" for i in range(12))
    return SliceSet(images, np.arange(48) // 4, names, subjects, Framing(64, 2.0))


@pytest.fixture(scope="module")
def source(slices, tmp_path_factory):
    """Weights of a prior of them."""
    model = LinearModel.fit(from_grey(torch.from_numpy(slices.images).float()), 8)
    synthesis = Synthesis({8: 4, 16: 4, 32: 4, 64: 4}, 4)
    info = PriorInfo("tiny", "MR T1", "axial", 2.0, representation_sigma=30.0)
    prior = StyleGAN2Prior(synthesis, LatentStatistics.standard(8), info, base=model)
    path = tmp_path_factory.mktemp("weights") / "tiny.safetensors"
    write_prior(prior, path, notes={"origin": "made by a test"})
    return path


@pytest.fixture
def run(source, tmp_path) -> FinishRun:
    return FinishRun(source, tmp_path / "work", tmp_path / "out.safetensors", device="cpu", report=lambda _line: None)


def test_a_cut_training_goes_on_and_gives_a_file_with_a_finish(slices, source, run, monkeypatch):
    prior = read_prior(source)
    shown: list[tuple[int, int]] = []

    class Stop(Exception):
        pass

    def stop_at_the_second(done, total):
        shown.append((done, total))
        if len(shown) == 2:
            raise Stop

    monkeypatch.setattr(finish_loop, "_SAVE_SECONDS", -1.0)  # after each step
    with pytest.raises(Stop):
        train_finish(slices, prior, SMALL, replace(run, progress=stop_at_the_second))
    assert load_checkpoint(run.work / "checkpoint")["shown"] == 32 and not run.out.exists()
    assert (run.work / "samples.png").stat().st_size > 100

    def refit(*_arguments):
        raise AssertionError("what was fitted is kept")

    lines: list[str] = []
    with monkeypatch.context() as patch:
        patch.setattr(finish_inputs, "fit_shrinkage", refit)
        patch.setattr(finish_inputs.LinearModel, "fit", refit)
        again = replace(run, report=lines.append, progress=lambda *at: shown.append(at))
        digest = train_finish(slices, prior, SMALL, again)
    assert shown == [(32, 64), (64, 64), (64, 64)]
    assert "going on after 32 images" in lines and any(str(digest) in line for line in lines)
    assert run.out.with_suffix(".png").stat().st_size > 100

    made = read_prior(run.out)
    assert made.info.weights_sha256 == digest and made.parts.finish is not None
    assert made.parts.finish.place is not None and made.parts.finish.place.shape == (1, 3, 32, 32)
    trained = load_checkpoint(run.work / "checkpoint")["average"]["out.weight"]
    torch.testing.assert_close(made.parts.finish.out.weight, trained, atol=float(trained.abs().max()) / 100, rtol=0)
    (before, told), (after, said) = read_tensors(source), read_tensors(run.out)
    assert told == said and "origin" in said
    assert {name for name in after if not name.startswith("finish.")} == before.keys()
    assert all(torch.equal(after[name], one) for name, one in before.items())

    other = replace(run, source=run.out, work=run.work.with_name("warm"), out=run.out.with_name("again.safetensors"))
    at_once = replace(SMALL, images=0)
    assert train_finish(slices, made, at_once, replace(other, warm_start=run.out, report=lines.append))
    assert "begins with the finish in out.safetensors" in lines
    assert read_tensors(other.out)[0].keys() == after.keys()  # its old finish is replaced
    for start, why in ((source, "has no finish to start from"), (run.out, "of another size")):
        small = replace(at_once, widths=(4, 6, 8, 10))
        with pytest.raises(WeightsError, match=why):
            train_finish(slices, made, small, replace(other, work=run.work.with_name(why), warm_start=start))


def test_a_damaged_stage_is_made_anew(slices, source, run):
    assert train_finish(slices, read_prior(source), replace(SMALL, images=0), run)
    (run.work / "fold-1.safetensors").write_bytes(b"cut")
    assert train_finish(slices, read_prior(source), replace(SMALL, images=0), run)
    assert read_tensors(run.work / "fold-1.safetensors")[0]["basis"].shape == (8, 1, 64, 64)


def test_time_that_is_up_keeps_the_folder(slices, source, run):
    assert train_finish(slices, read_prior(source), SMALL, replace(run, seconds=0.0)) is None
    assert [path.name for path in run.work.iterdir()] == ["made-by.json"]
    assert train_finish(slices, read_prior(source), replace(SMALL, images=0), run) is not None


def test_a_folder_of_another_prior_or_size(slices, source, run):
    prior = read_prior(source)
    train_finish(slices, prior, SMALL, replace(run, seconds=0.0))
    for settings, at, which in (
        (replace(SMALL, widths=(4, 6, 8, 10)), run, "widths"), (SMALL, replace(run, mirror=True), "mirror"),
        (replace(SMALL, batch=36), run, "batch"),
    ):  # fmt: skip
        with pytest.raises(InputError, match=f"of another {which}"):
            train_finish(slices, prior, settings, at)
    twice = LinearModel(prior.parts.line.model.mean, 2 * prior.parts.line.model.coarse, 0.0)
    prior.parts = replace(prior.parts, line=Line(twice, exact=True))
    with pytest.raises(InputError, match="of another prior"):
        train_finish(slices, prior, SMALL, run)


def test_slices_and_batches_that_cannot_be_used(slices, source, run):
    prior = read_prior(source)
    half = replace(slices, images=slices.images[..., ::2, ::2].copy(), framing=Framing(32, 4.0))
    colour = replace(slices, images=np.repeat(slices.images, 3, axis=1))
    for given, settings, why in (
        (half, SMALL, "32 pixels a side where tiny draws 64"), (colour, SMALL, "in colour"),
        (slices.taking(np.arange(8)), SMALL, r"slices of 2 subject\(s\)"),
        (slices.taking(np.arange(20)), SMALL, "20 slices are too few for batches of 32"),
        (slices, replace(SMALL, batch=30), "multiple of 4 from 32 on, got 30"),
        (slices, replace(SMALL, batch=16), "multiple of 4 from 32 on, got 16"),
    ):  # fmt: skip
        with pytest.raises(InputError, match=why):
            train_finish(given, prior, settings, run)
    assert not run.work.exists()


def test_priors_that_take_no_finish():
    def prior(channels=1, side=64, level=0.0):
        return LinearGaussian(torch.full((channels, side, side), level), torch.ones(2, channels, side, side), 0.0)

    assert check_finishable(prior()).exact
    inexact = prior()
    inexact.parts = replace(inexact.parts, line=Line(inexact.parts.line.model, exact=False))
    for given, why in (
        (prior(channels=3), "draws colours"), (inexact, "no exact linear part"), (prior(side=48), "has 48"),
        (prior(side=32), "has 32"), (prior(level=-1.0), "is dark everywhere"),
    ):  # fmt: skip
        with pytest.raises(InputError, match=why):
            check_finishable(given)
