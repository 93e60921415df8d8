"""Cross-fitting keeps subjects apart, and random holes leave something to infer from."""

from __future__ import annotations

import importlib

import pytest
import torch

from napari_brgm.priors.linear_gaussian import LinearGaussian
from napari_brgm.training.crossfit import crossfit, fold_residuals, random_missing

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
    fit = LinearGaussian.fit.__func__

    def spy(cls, images, *args, **kwargs):
        seen.append({round(12 * float(v)) for v in images[:, 0, 0, 0]})
        return fit(cls, images, *args, **kwargs)

    monkeypatch.setattr(LinearGaussian, "fit", classmethod(spy))
    return seen


def test_folds_never_mix_a_subject(slices, fitted_to):
    """Every subject is left out of exactly one fit: catches a split by slices, where neighbours leak."""
    images, subjects = slices
    model = LinearGaussian.fit(images, 6, mirror=True)
    fitted_to.clear()
    found = crossfit(images, subjects, model, folds=4, corruptions=2)
    assert len(fitted_to) == 4
    assert sorted(left for seen in fitted_to for left in set(range(12)) - seen) == list(range(12))
    assert found.latents.shape == (2, 120, 6) and found.complete.shape == (120, 6)
    assert torch.isfinite(found.latents).all()
    fitted_to.clear()
    residuals = fold_residuals(images, subjects, 6, 10.0, folds=4, every=1)
    assert sorted(left for seen in fitted_to for left in set(range(12)) - seen) == list(range(12))
    assert residuals.shape == (60, 1, 16, 16)


def test_latents_describe_the_slices_and_their_mirror_images(slices):
    """Catches rows in another order than the slices: estimates must be nearer to their own slice than the mean is."""
    images, subjects = slices
    model = LinearGaussian.fit(images, 10, mirror=True)
    found = crossfit(images, subjects, model, folds=4, corruptions=3)
    both = torch.cat([images, images.flip(-1)])
    complete = model.synthesize(found.complete.float()[:, None])
    spread = (both - model.mean).square().mean()
    assert (complete - both).square().mean() < 0.5 * spread
    for v in range(3):
        estimate = model.synthesize(found.latents[v].float()[:, None])
        assert (estimate - both).square().mean() < 0.98 * spread
        wrong = model.synthesize(found.latents[v].float().roll(1, 0)[:, None])
        assert (estimate - both).square().mean() < (wrong - both).square().mean()
    again = crossfit(images, subjects, model, folds=4, corruptions=3)
    assert torch.equal(again.latents, found.latents)


@pytest.mark.parametrize("size", [32, 128])
def test_random_holes_leave_something_on_both_sides(size):
    generator = torch.Generator().manual_seed(0)
    shares = [float(random_missing(size, generator).float().mean()) for _ in range(300)]
    assert min(shares) > 0 and max(shares) < 0.9
    assert sum(s > 0.35 for s in shares) > 20 and sum(s < 0.1 for s in shares) > 5
