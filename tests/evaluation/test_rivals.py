"""The rivals must be as strong as they are said to be, or beating them means nothing."""

import sys
from functools import cached_property
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
import torch

from napari_brgm.errors import InputError
from napari_brgm.evaluation.dataset import validation_slices
from napari_brgm.evaluation.metrics import rmse
from napari_brgm.evaluation.rivals import (
    OPENCV_RIVALS,
    TrainingSet,
    hard_consistency,
    linear_gaussian,
    opencv_inpaint,
    rivals,
)
from napari_brgm.evaluation.tasks import TASKS
from napari_brgm.priors.linear_gaussian import LinearGaussian
from napari_brgm.priors.linear_model import Differentiated

BY_NAME = {task.name: task for task in TASKS}


@pytest.fixture
def images():
    rng = np.random.default_rng(5)
    waves = [np.sin(np.arange(128) * f / 20 + p) for f, p in rng.uniform(1, 4, (12, 2))]
    return np.stack([127 + 90 * np.outer(a, b) for a, b in zip(waves[:6], waves[6:], strict=True)]).astype(np.float32)


def test_linear_gaussian_equals_the_exact_posterior_of_each_slice(images):
    model = LinearGaussian.fit(torch.from_numpy(images)[:, None] / 127.5 - 1, 3)
    for name in ("mask-5", "x4"):
        task = BY_NAME[name]
        observed = task.observe(images)
        together = linear_gaussian(observed, task, model, 400.0)
        y = torch.from_numpy(observed[2])[None, None] / 127.5 - 1
        y = task.apply(y) if task.missing is not None else y
        operator = Differentiated(task.apply, tuple(model.mean.shape))
        alone = 127.5 * (model.posterior_mean(y, operator, 400.0 / 127.5**2)[0].numpy() + 1)
        assert np.allclose(together[2], alone, atol=0.02)


def test_back_projection_closes_in_on_the_observation(images):
    task = BY_NAME["x4"]
    observed = task.observe(images)
    before = np.full_like(images, 100)
    after = hard_consistency(before, observed, task)
    assert rmse(task.observe(after), observed) < 0.05 * rmse(task.observe(before), observed)


def test_missing_opencv_says_what_to_install(monkeypatch, images):
    monkeypatch.setitem(sys.modules, "cv2", None)
    with pytest.raises(InputError, match=r"pip install napari-brgm\[evaluation\]"):
        opencv_inpaint(images, BY_NAME["mask-2"], flag="INPAINT_TELEA")


def test_every_task_has_rivals_that_keep_what_was_measured(images):
    class Known(TrainingSet):
        @cached_property
        def images(self):
            return images

        def linear_gaussian(self, components):
            return LinearGaussian.fit(torch.from_numpy(images)[:, None] / 127.5 - 1, 4)

    for name in ("mask-2", "x8"):
        task = BY_NAME[name]
        observed = task.observe(images[:2])
        able = [rival for rival in rivals(Known(Path())) if rival.solves(task)]
        assert len(able) >= 4
        for rival in able:
            if rival.name in OPENCV_RIVALS and find_spec("cv2") is None:
                continue
            last = rival.measure(observed, task, None, lambda part: None)
            finished = task.finish(last.estimates, observed)
            assert finished.shape == (2, 128, 128)
            if task.missing is not None:
                assert np.array_equal(finished[:, ~task.missing], images[:2][:, ~task.missing])


@pytest.mark.shared
def test_published_rows_come_back(shared_data):
    """Rows of the protocol that need no training slices; 0.1 is what its rounding leaves."""
    pytest.importorskip("cv2")
    truth = validation_slices(shared_data / "brain" / "brain_validation.zip").images
    by_name = {rival.name: rival for rival in rivals(TrainingSet(shared_data / "brain" / "brain_train.zip"))}
    expected = {
        ("telea", "mask-3"): 65.4, ("telea", "mask-4"): 55.1, ("navier-stokes", "mask-0"): 81.9,
        ("biharmonic", "mask-2"): 39.1, ("bicubic", "x2"): 6.2, ("bicubic", "x8"): 26.8, ("bicubic-hard", "x4"): 14.3,
    }  # fmt: skip
    for (name, place), value in expected.items():
        task = BY_NAME[place]
        observed = task.observe(truth)
        finished = task.finish(by_name[name].predict(observed, task), observed)
        assert rmse(finished, truth, task.region) == pytest.approx(value, abs=0.1), (name, place)
