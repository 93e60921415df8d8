"""The rival has to be the exact one, and no weaker than its tuning can make it."""

import numpy as np
import pytest
import torch

from napari_brgm.datasets import Framing, SliceSet
from napari_brgm.errors import InputError
from napari_brgm.evaluation.held_out import grey_images
from napari_brgm.evaluation.linear_rival import NOISES, LinearRestorer, best_choices, fit_components, tuned_choices
from napari_brgm.evaluation.metrics import rmse
from napari_brgm.evaluation.tasks import grid_tasks, tasks_of_size
from napari_brgm.priors.linear_gaussian import LinearGaussian
from napari_brgm.priors.linear_model import Differentiated

SIZE = 32
TASKS = [task for task in tasks_of_size(SIZE) if task.name in ("mask-3", "mask-6", "x4")]


@pytest.fixture(scope="module")
def training(smooth_images):
    pixels = (127.5 * (smooth_images(60, SIZE, 3) + 1)).round().to(torch.uint8).numpy()
    subjects = np.repeat(np.arange(10), 6)
    return SliceSet(pixels, subjects, tuple(map(str, range(60))), tuple("abcdefghij"), Framing(SIZE))


def test_the_fit_is_that_of_probabilistic_pca(training):
    ours = fit_components(training, 10)
    full = LinearGaussian.fit(torch.from_numpy(grey_images(training))[:, None] / 127.5 - 1, 10)
    assert torch.allclose(ours.mean, full.mean, atol=1e-5)
    signs = (ours.basis * full.basis).sum(dim=(1, 2, 3)).sign()
    assert torch.allclose(ours.basis * signs[:, None, None, None], full.basis, atol=1e-3)
    assert ours.noise_variance == pytest.approx(full.noise_variance, rel=1e-3)


def restored(task, truth, model, choice):
    observed = task.observe(truth)
    return task.finish(LinearRestorer(model, task, *choice).restore(observed), observed)


def test_the_mean_is_that_of_the_exact_posterior_of_each_slice(smooth_images):
    images = smooth_images(6, SIZE, 5)
    model = LinearGaussian.fit(images, 3)
    truth = 127.5 * (images[:, 0].numpy() + 1)
    for task in tasks_of_size(SIZE):
        if task.name in ("mask-5", "x4"):
            observed = task.observe(truth)
            together = LinearRestorer(model, task, 3, 400.0, hard=False).restore(observed)
            y = torch.from_numpy(observed[2])[None, None] / 127.5 - 1
            y = task.apply(y) if task.missing is not None else y
            operator = Differentiated(task.apply, tuple(model.mean.shape))
            alone = 127.5 * (model.posterior_mean(y, operator, 400.0 / 127.5**2)[0].numpy() + 1)
            assert np.allclose(together[2], alone, atol=0.02)
            exact = model.posterior(y, operator, 400.0 / 127.5**2)
            spread = torch.linalg.inv(exact.precision.double())
            flat = model.basis.flatten(1).double()
            variance = torch.einsum("kp,kl,lp->p", flat, spread, flat) + model.noise_variance
            std = LinearRestorer(model, task, 3, 400.0, hard=False).std
            assert np.allclose(std.ravel(), 127.5 * variance.sqrt().numpy(), rtol=1e-3)


def test_low_resolution_is_back_projected_on_the_data(smooth_images):
    images = smooth_images(6, SIZE, 5)
    model, truth = LinearGaussian.fit(images, 3), 127.5 * (images[:, 0].numpy() + 1)
    (task,) = (task for task in tasks_of_size(SIZE) if task.name == "x4")
    observed = task.observe(truth)
    before, after = (
        LinearRestorer(model, task, 3, 4e4, hard=hard).restore(observed) for hard in (False, True)
    )  # fmt: skip
    assert rmse(task.observe(after), observed) < 0.05 * rmse(task.observe(before), observed)


def test_scattered_pixels_are_tuned_apart_from_holes(training, smooth_images):
    model = fit_components(training, 12)
    truth = (127.5 * (smooth_images(6, SIZE, 9)[:, 0] + 1)).round().numpy()
    tasks = [task for task in grid_tasks(SIZE) if task.name in ("mask-3", "strokes", "missing-95", "jpeg-10")]
    choices = best_choices(model, truth, tasks)
    assert set(choices) == {"mask-3", "strokes", "missing-95", "jpeg-10"}
    assert choices["mask-3"] == choices["strokes"] != choices["jpeg-10"]


def test_tuned_choices_are_the_best_of_the_grid(training, smooth_images):
    model = fit_components(training, 12)
    truth = (127.5 * (smooth_images(6, SIZE, 9)[:, 0] + 1)).round().numpy()
    choices = best_choices(model, truth, TASKS)
    assert choices["mask-3"] == choices["mask-6"]
    holes = TASKS[:2]

    def error(choice):
        return np.mean([rmse(restored(t, truth, model, choice), truth, t.region) for t in holes])

    best = error(choices["mask-3"])
    assert all(best <= error((12, noise)) + 1e-4 for noise in NOISES)
    (factor,) = (task for task in TASKS if task.missing is None)
    here = rmse(restored(factor, truth, model, choices["x4"]), truth)
    assert all(here <= rmse(restored(factor, truth, model, (12, noise)), truth) + 1e-4 for noise in NOISES)


def test_tuning_holds_subjects_out(training):
    said = []
    choices = tuned_choices(training, TASKS, said.append)
    assert set(choices) == {"mask-3", "mask-6", "x4"} and len(said) == 2
    assert max(k for k, _ in choices.values()) <= 48 * 2 // 3
    one = training.taking(np.arange(6))
    with pytest.raises(InputError, match="one subject only"):
        tuned_choices(one, TASKS, said.append)
    with pytest.raises(InputError, match="ask for fewer"):
        fit_components(one, 6)
