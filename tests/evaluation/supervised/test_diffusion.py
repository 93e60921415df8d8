"""The diffusion sampler beside what is known of it: without its network it samples a white Gaussian about the mean."""

from __future__ import annotations

import sys

import numpy as np
import pytest
import torch

from napari_brgm.errors import InputError
from napari_brgm.evaluation.supervised.denoise import denoised, drawn_strengths, weight_of
from napari_brgm.evaluation.supervised.diffusion import DiffusionSampler
from napari_brgm.evaluation.supervised.net import RestoringNet
from napari_brgm.evaluation.supervised.weights import SupervisedCard, write_net
from napari_brgm.evaluation.tasks import grid_tasks

SIZE, BLOCKS = 32, (1, 1)
TASKS = {task.name: task for task in grid_tasks(SIZE)}


@pytest.fixture(scope="module")
def net() -> RestoringNet:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        net = RestoringNet(SIZE, 4, 8, BLOCKS)
    net.mean.copy_(torch.linspace(0.3, 0.7, SIZE).expand(1, SIZE, SIZE))
    return net.eval().requires_grad_(False)


@pytest.fixture(scope="module")
def path(net, tmp_path_factory):
    path = tmp_path_factory.mktemp("net") / "denoiser.safetensors"
    write_net(path, net, SupervisedCard("denoiser", "toy", SIZE, (), 4, 8, BLOCKS, 800, 900.0, 0.0, 0, 48, 3))
    return path


def test_an_untrained_denoiser_is_the_wiener_filter(net):
    x = torch.rand(2, 1, SIZE, SIZE, generator=torch.Generator().manual_seed(0))
    strength = torch.tensor([0.1, 2.0]).reshape(2, 1, 1, 1)
    expected = net.mean + 0.0625 / (strength.square() + 0.0625) * (x - net.mean)
    torch.testing.assert_close(denoised(net, x, strength), expected)
    known = drawn_strengths(torch.zeros(1))
    assert float(known) == pytest.approx(np.exp(-1.2) / 2)
    assert float(weight_of(torch.tensor(0.25))) == pytest.approx(2 / 0.25**2)  # half of the variance is left


@pytest.mark.parametrize("name", ["mask-2", "x4"])
def test_it_samples_the_posterior_of_its_denoiser(path, net, name):
    """Draws agree with what was measured; elsewhere they lie about the mean, a quarter of the range apart."""
    task = TASKS[name]
    truth = np.random.default_rng(0).uniform(40, 210, (1, SIZE, SIZE)).astype(np.float32)
    observed = task.observe(truth)
    method = DiffusionSampler(path, "toy")
    assert method.solves(task) and not method.solves(TASKS["jpeg-10"]) and "0.2 h" in method.title
    found = method.restore(observed[0], task, seed=1)
    sample = found.others["sample"]
    if task.kind == "hole":
        np.testing.assert_allclose(sample[~task.missing], truth[0][~task.missing], atol=1e-2)
        assert found.std[~task.missing].max() < 1e-2
        apart = (found.estimate - 255 * net.mean[0].numpy())[task.region]
        assert abs(apart.mean()) < 5  # 8 draws of many pixels
        assert 0.5 * 64 < found.std[task.region].mean() < 1.2 * 64
    else:
        blocks = found.estimate.reshape(SIZE // 4, 4, SIZE // 4, 4).mean(axis=(1, 3))
        inside = (sample > 0).all() and (sample < 255).all()
        np.testing.assert_allclose(blocks, observed[0], atol=1e-2 if inside else 3)
        assert 0.4 * 64 < found.std.mean() < 1.2 * 64
    again = method.restore(observed[0], task, seed=1)
    np.testing.assert_array_equal(again.estimate, found.estimate)
    assert np.abs(method.restore(observed[0], task, seed=2).estimate - found.estimate).max() > 1


def test_what_cannot_be_is_one_sentence(path, monkeypatch):
    with pytest.raises(InputError, match=r"denoiser of toy; a denoiser of brain-128 is needed"):
        DiffusionSampler(path, "brain-128")
    monkeypatch.setitem(sys.modules, "deepinv", None)
    with pytest.raises(InputError, match=r"install napari-brgm\[evaluation\]"):
        DiffusionSampler(path, "toy")
