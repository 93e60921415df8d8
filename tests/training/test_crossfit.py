"""Cross-fitting keeps subjects apart, and random holes leave something to infer from."""

from __future__ import annotations

import importlib

import pytest
import torch

from napari_brgm.priors.linear_model import LinearModel
from napari_brgm.training.crossfit import crossfit, fit_folds, fold_residuals, random_missing

module = importlib.import_module("napari_brgm.training.crossfit")


@pytest.fixture(scope="module")
def slices(smooth_images) -> tuple[torch.Tensor, torch.Tensor]:
    """60 slices of 12 subjects, in mixed order; each slice carries its subject's number in the corner pixel."""
    images = smooth_images(60, 16, seed=4)
    subjects = torch.arange(60) % 12
    images[:, 0, 0, 0] = subjects / 12
    return images, subjects


@pytest.fixture
def fitted_to(monkeypatch) -> list[set[int]]:
    """The subjects of each fit."""
    seen: list[set[int]] = []
    fit = LinearModel.fit.__func__

    def spy(cls, images, *args, **kwargs):
        seen.append({round(12 * float(v)) for v in images[:, 0, 0, 0]})
        return fit(cls, images, *args, **kwargs)

    monkeypatch.setattr(LinearModel, "fit", classmethod(spy))
    return seen


def test_folds_never_mix_a_subject(slices, fitted_to):
    """Every subject is left out of exactly one fit: catches a split by slices, where neighbours leak."""
    images, subjects = slices
    model = LinearModel.fit(images, 6, mirror=True)
    fitted_to.clear()
    folds = fit_folds(images, subjects, 6, mirror=True, folds=4)
    assert len(fitted_to) == 4
    assert sorted(left for seen in fitted_to for left in set(range(12)) - seen) == list(range(12))
    for fold, seen in enumerate(fitted_to):
        assert set(subjects[folds.fold_of == fold].tolist()) == set(range(12)) - seen
    found = crossfit(images, model, folds, mirror=True, sigma=30.0, corruptions=2)
    assert found.latents.shape == (2, 120, 6) and found.complete.shape == (120, 6)
    assert torch.isfinite(found.latents).all()
    alone = crossfit(images, model, folds, mirror=False, sigma=30.0, corruptions=2)
    assert alone.latents.shape == (2, 60, 6) and torch.equal(alone.complete, found.complete[:60])
    residuals = fold_residuals(images, folds, 10.0, every=1)
    assert residuals.shape == (60, 1, 16, 16)
    assert fold_residuals(images[:30], folds.of(30), 10.0, every=1).shape[0] == 30


def test_folds_on_a_coarser_grid_are_the_models_of_the_shrunk_slices(slices):
    """Catches a grid of the folds that is not that of the model, and residuals that are not of the whole frame."""
    images, subjects = slices
    large = torch.nn.functional.interpolate(images, scale_factor=2, mode="bilinear", align_corners=False)
    folds = fit_folds(large, subjects, 6, mirror=False, grid=16, folds=3)
    assert folds.bases.shape == (3, 6, 1, 16, 16) and folds.means.shape == (3, 1, 32, 32)
    model = LinearModel.fit(large, 6, grid=16)
    small = torch.nn.functional.avg_pool2d(large, 2)
    found = crossfit(small, model, folds, mirror=False, sigma=30.0, corruptions=1)
    near = model.synthesize(found.complete.float()[:, None])
    assert (near - large).square().mean() < 0.5 * (model.mean - large).square().mean()
    assert fold_residuals(large, folds, 10.0, every=2).shape[-1] == 32


def test_latents_describe_the_slices_and_their_mirror_images(slices):
    """Catches rows in another order than the slices: estimates must be nearer to their own slice than the mean is."""
    images, subjects = slices
    model = LinearModel.fit(images, 10, mirror=True)
    folds = fit_folds(images, subjects, 10, mirror=True, folds=4)
    found = crossfit(images, model, folds, mirror=True, sigma=60.0, corruptions=3)
    both = torch.cat([images, images.flip(-1)])
    complete = model.synthesize(found.complete.float()[:, None])
    spread = (both - model.mean).square().mean()
    assert (complete - both).square().mean() < 0.5 * spread
    for v in range(3):
        estimate = model.synthesize(found.latents[v].float()[:, None])
        assert (estimate - both).square().mean() < 0.98 * spread
        wrong = model.synthesize(found.latents[v].float().roll(1, 0)[:, None])
        assert (estimate - both).square().mean() < (wrong - both).square().mean()
    again = crossfit(images, model, folds, mirror=True, sigma=60.0, corruptions=3)
    assert torch.equal(again.latents, found.latents)


@pytest.mark.parametrize("size", [32, 128])
def test_random_holes_leave_something_on_both_sides(size):
    generator = torch.Generator().manual_seed(0)
    shares = [float(random_missing(size, generator).float().mean()) for _ in range(300)]
    assert min(shares) > 0 and max(shares) < 0.9
    assert sum(s > 0.35 for s in shares) > 20 and sum(s < 0.1 for s in shares) > 5
