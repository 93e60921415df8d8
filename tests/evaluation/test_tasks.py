"""Tasks: what is hidden and where the error is measured."""

import numpy as np
import pytest
import torch

from napari_brgm.errors import InputError
from napari_brgm.evaluation.tasks import TASKS, tasks_of_size


def test_the_ten_columns_in_order():
    assert [task.name for task in TASKS] == [*(f"mask-{i}" for i in range(7)), "x2", "x4", "x8"]
    assert [bool(task.region.all()) for task in TASKS] == [False] * 7 + [True] * 3


@pytest.mark.parametrize("task", TASKS, ids=lambda task: task.name)
def test_nothing_of_the_hole_is_seen(task):
    truth = np.random.default_rng(0).uniform(0, 255, (2, 128, 128)).astype(np.float32)
    observed = task.observe(truth)
    if task.missing is None:
        f = task.factor
        assert np.allclose(observed, truth.reshape(2, 128 // f, f, 128 // f, f).mean(axis=(2, 4)), rtol=1e-5)
    else:
        assert not observed[:, task.missing].any()
        finished = task.finish(np.full_like(truth, 300), observed)
        assert np.array_equal(finished[:, ~task.missing], truth[:, ~task.missing])
        assert (finished[:, task.missing] == 255).all()  # clipped


def test_masks_of_the_table_agree_with_our_operators():
    from napari_brgm.corruptions import Downsample, Mask

    image = torch.rand(1, 1, 128, 128)
    for task in TASKS:
        ours = Downsample(task.factor) if task.missing is None else Mask(task.missing)
        assert torch.allclose(ours.A(image), task.apply(image), atol=1e-5), task.name


def test_at_256_the_masks_are_as_published():
    by_name = {task.name: task for task in tasks_of_size(256)}
    tall = by_name["mask-3"].missing
    assert tall is not None
    assert tall[47:209, 130:186].all() and tall.sum() == 162 * 56
    assert by_name["x8"].region.shape == (256, 256)
    assert by_name["x8"].observe(np.zeros((1, 256, 256), np.float32)).shape == (1, 32, 32)
    with pytest.raises(InputError, match="divides 256"):
        tasks_of_size(96)
