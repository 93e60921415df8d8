"""The training starts at the linear image, learns, and resumes as if it had never stopped."""

from __future__ import annotations

import itertools
from dataclasses import replace
from types import SimpleNamespace

import pytest
import torch

from napari_brgm.priors.linear_model import LinearModel
from napari_brgm.training import refine as package
from napari_brgm.training.crossfit import CrossFit
from napari_brgm.training.refine import RefineSettings, loss, new_synthesis, refine

SETTINGS = RefineSettings(
    widths=((4, 6), (8, 6), (16, 4)), style_latents=4, images=96, stages=((8, 48),), batch=8, warmup_images=16
)


@pytest.fixture(scope="module")
def toy(smooth_images) -> tuple[LinearModel, torch.Tensor, CrossFit]:
    """Slices with a sharp edge that six components cannot draw."""
    smooth = smooth_images(24, 16, seed=6)
    images = torch.where(smooth > 0.1, smooth + 0.4, smooth).clamp(-1, 1)
    model = LinearModel.fit(images, 6, mirror=True)
    both = torch.cat([images, images.flip(-1)])
    complete = model.encode(both)
    noisy = complete + 0.2 * torch.randn(2, *complete.shape, generator=torch.Generator().manual_seed(0))
    grey = ((images + 1) * 127.5).round().clamp(0, 255).to(torch.uint8)
    return model, grey, CrossFit(noisy.half(), complete.half())


def test_it_starts_at_the_linear_image():
    """Zero correction: the first restoration is as good as the linear posterior's."""
    net = new_synthesis(SETTINGS)
    ws = torch.randn(2, net.num_ws, 4)
    with torch.no_grad():
        assert net(ws, "none", torch.randn(2, 1, 16, 16)).abs().max() == 0


def test_a_stopped_training_goes_on_to_the_same_weights(toy, tmp_path, monkeypatch):
    """Catches an optimiser, average, random state or counter that is not in the checkpoint."""
    whole = refine(*toy, SETTINGS, tmp_path / "whole")
    ticks = itertools.count()
    clock = SimpleNamespace(monotonic=lambda: float(next(ticks)))
    with monkeypatch.context() as patched:
        patched.setattr(package, "time", clock)
        early = refine(*toy, SETTINGS, tmp_path / "parts", seconds=7.0)
    state = torch.load(tmp_path / "parts" / "checkpoint.pt", weights_only=True)
    assert 0 < state["shown"] < SETTINGS.images
    resumed = refine(*toy, SETTINGS, tmp_path / "parts")
    for (name, a), b in zip(whole.named_parameters(), resumed.parameters(), strict=True):
        torch.testing.assert_close(a, b, rtol=0, atol=0, msg=name)
    assert any(not torch.equal(a, b) for a, b in zip(whole.parameters(), early.parameters(), strict=True))


def test_ctrl_c_keeps_what_was_shown(toy, tmp_path):
    """Catches a minute of training that is lost: the regular checkpoints are that far apart."""

    def stop(done, _total):
        if done == 40:
            raise KeyboardInterrupt

    whole = refine(*toy, SETTINGS, tmp_path / "whole")
    with pytest.raises(KeyboardInterrupt):
        refine(*toy, SETTINGS, tmp_path / "parts", progress=stop)
    assert torch.load(tmp_path / "parts" / "checkpoint.pt", weights_only=True)["shown"] == 40
    resumed = refine(*toy, SETTINGS, tmp_path / "parts")
    assert all(torch.equal(a, b) for a, b in zip(whole.parameters(), resumed.parameters(), strict=True))


def test_it_learns_what_the_linear_image_lacks(toy, tmp_path):
    """Catches a target, mirror image or gain that does not belong to its latents."""
    model, grey, pairs = toy
    settings = replace(
        SETTINGS, widths=((4, 16), (8, 16), (16, 16)), images=2400, stages=((8, 400),), learning_rate=2e-2,
        ema_images=100.0, gain=0.05,
    )  # fmt: skip
    net = refine(*toy, settings, tmp_path)
    w = pairs.complete[: len(grey)].float()
    target = grey.float() / 127.5 - 1
    with torch.no_grad():
        base = model.synthesize(w[:, None])
        refined = base + net(w[:, None, :4].expand(-1, net.num_ws, -1), "none", base)
    assert loss(refined, target) < 0.97 * loss(base, target)


def test_the_loss_is_zero_at_the_truth_and_grows():
    x = torch.rand(2, 1, 16, 16)
    assert float(loss(x, x)) == 0
    assert 0 < float(loss(x + 0.01, x)) < float(loss(x + 0.1, x))


def test_held_out_slices_are_not_trained_on_and_their_error_is_told(toy, tmp_path, monkeypatch):
    """Catches a reflection of a held-out slice among the training ones, and an error that is not that of G."""
    model, grey, pairs = toy
    held_out = torch.tensor([3, 7])
    poisoned = CrossFit(pairs.latents.clone(), pairs.complete.clone())
    for row in (3, 7, 27, 31):
        poisoned.complete[row] = torch.nan
        poisoned.latents[:, row] = torch.nan
    steps = []
    net = refine(
        model, grey, poisoned, SETTINGS, tmp_path, held_out=held_out, progress=lambda *done: steps.append(done)
    )
    assert all(torch.isfinite(p).all() for p in net.parameters())
    assert steps[0] == (8, 96) and steps[-1] == (96, 96) and len(steps) == 12
    start = new_synthesis(SETTINGS)
    found = package.held_out_error(model, start, grey, pairs, held_out, 4)
    estimate = ((model.synthesize(pairs.latents[0, held_out].float()[:, None]) + 1) * 127.5).clamp(0, 255)
    wanted = (estimate - grey[held_out].float()).square().mean().sqrt()
    assert found["held-out RMSE"] == found["held-out linear RMSE"] == pytest.approx(float(wanted), rel=1e-4)
