"""Replays of an evaluation. The graph itself needs a GPU; here one is stood in for by running the computation again."""

from __future__ import annotations

from functools import partial

import numpy as np
import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from napari_brgm import restore
from napari_brgm.corruptions import Blur, Downsample, Mask
from napari_brgm.inference import Gaussian, fit_gaussian, maximise
from napari_brgm.inference import replayed as module
from napari_brgm.inference.replayed import Replayed, replayed
from napari_brgm.likelihood import Likelihood, to_grey
from napari_brgm.observation import Observation
from napari_brgm.posterior import Posterior
from napari_brgm.settings import preset

NEEDS_GPU = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")


class Rerun(Replayed):
    """A recording whose replay does the work again, into the places where the recording left its results."""

    def __init__(self, objective, v):
        self._objective, self._v, self.replays = objective, v.detach().clone().requires_grad_(True), 0
        self._named, self._images, self._gradient = self._evaluate()
        self._graph = self

    def replay(self):
        named, images, gradient = self._evaluate()
        self.replays += 1
        for name, term in named.items():
            self._named[name].copy_(term)
        self._images.copy_(images)
        self._gradient.copy_(gradient)


@pytest.fixture
def stood_in(monkeypatch):
    """All evaluations go through replays; gives the recordings."""
    made = []

    def recorded(objective, v, evaluations):
        made.append(Rerun(objective, v))
        return made[-1]

    for where in ("maximum", "variational"):
        monkeypatch.setattr(f"napari_brgm.inference.{where}.replayed", recorded)
    return made


def test_terms_images_and_gradient_are_those_of_the_posterior(distant):
    posterior = distant(lambda_colinear=0.1)
    v = posterior.coordinates.drawn(2, torch.Generator().manual_seed(1))
    found = []
    for objective in (posterior.terms, Rerun(posterior.terms, torch.zeros_like(v))):
        leaf = v.clone().requires_grad_(True)
        terms, images = objective(leaf)
        weighted = torch.stack(list(terms.values())).sum(dim=0) * torch.tensor([1.0, 3.0])
        found.append((terms, images, *torch.autograd.grad(weighted.sum(), leaf)))
    (terms, images, gradient), (same, again, slope) = found
    assert terms.keys() == same.keys()
    for name in terms:
        torch.testing.assert_close(same[name], terms[name])
    torch.testing.assert_close(again, images)
    torch.testing.assert_close(slope, gradient, rtol=1e-3, atol=1e-5 * float(gradient.abs().max()))


def test_what_an_evaluation_gave_outlives_the_next(distant):
    """A graph writes over its own results; the lowest visit of a descent is kept for long."""
    posterior = distant()
    v = posterior.coordinates.drawn(2, torch.Generator().manual_seed(1))
    objective = Rerun(posterior.terms, v)
    terms, images = objective(v)
    kept = {name: term.clone() for name, term in terms.items()}, images.clone()
    objective(2 * v)
    assert torch.equal(images, kept[1]) and all(torch.equal(term, kept[0][name]) for name, term in terms.items())


@pytest.mark.parametrize("optimiser", ["adam", "lbfgs"])
def test_map_is_the_same(distant, stood_in, optimiser):
    changes = {"optimiser": optimiser, "steps": 15, "tolerance": None}
    posterior = distant(**changes)
    found = maximise(posterior)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("napari_brgm.inference.maximum.replayed", lambda objective, v, evaluations: objective)
        wanted = maximise(posterior)
    assert stood_in[0].replays == 15
    torch.testing.assert_close(found.v, wanted.v)
    assert found.loss == pytest.approx(wanted.loss)


@pytest.mark.parametrize("rank", [0, 2])
def test_variational_fit_is_the_same(distant, stood_in, rank):
    """Its gradient reaches mean and spread through the draws, and through the entropy beside the replay."""
    posterior = distant(vi_rank=rank, vi_samples_per_step=4)
    start = Gaussian(posterior.start()[0], posterior.start_std())
    found = fit_gaussian(posterior, start, torch.Generator().manual_seed(0), steps=6)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("napari_brgm.inference.variational.replayed", lambda objective, v, evaluations: objective)
        wanted = fit_gaussian(posterior, start, torch.Generator().manual_seed(0), steps=6)
    assert stood_in[0].replays == 6
    torch.testing.assert_close(found.mean, wanted.mean, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(found.std, wanted.std, rtol=1e-4, atol=1e-6)


class Waiting(TorchDispatchMode):
    """Notes operations for which a recording fails on a GPU: constants of the host, and questions to the device."""

    FORBIDDEN = ("lift_fresh", "_local_scalar_dense", "nonzero", "is_nonzero", "masked_select")

    def __init__(self):
        super().__init__()
        self.found = []

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        if any(name in str(func) for name in self.FORBIDDEN):
            self.found.append(str(func))
        return func(*args, **(kwargs or {}))


@pytest.mark.parametrize("kind", ["mask", "x4", "blur"])
@pytest.mark.parametrize("space", ["w", "w+", "z"])
def test_an_evaluation_neither_copies_from_the_host_nor_waits_for_the_device(random_stylegan2, kind, space):
    """Else no published network is restored by replays: the recording fails, and steps are launched one by one."""
    prior, size = random_stylegan2, random_stylegan2.resolution
    hole = torch.zeros(size, size, dtype=torch.bool)
    hole[4:16, 10:24] = True
    f = {"mask": Mask(hole), "x4": Downsample(4), "blur": Blur(2.0)}[kind]
    y = f.A(to_grey(prior.sample(1, seed=3)))
    observed = ~hole[None, None] if kind == "mask" else torch.ones_like(y)
    settings = preset("unaided").but(latent_space=space, start="mean")
    posterior = Posterior(prior, Likelihood(Observation(f, observed.float(), 20.0), y * observed), settings)
    leaf = posterior.start().requires_grad_(True)
    posterior.terms(leaf)  # what is made once
    with Waiting() as mode:
        terms, _ = posterior.terms(leaf)
        torch.autograd.grad(torch.stack(list(terms.values())).sum(), leaf)
    assert not mode.found


def test_a_cpu_and_a_few_evaluations_need_no_recording(distant):
    posterior = distant()
    assert replayed(posterior.terms, posterior.start(), 500) == posterior.terms


def test_what_cannot_be_recorded_runs_as_it_is(distant, monkeypatch):
    """A corruption of another library may wait for the device in its midst."""

    class OnGpu:
        device = torch.device("cuda")

    def fails(objective, v):
        raise RuntimeError("operation not permitted when stream is capturing")

    monkeypatch.setattr(module, "Replayed", fails)
    monkeypatch.setattr(torch.cuda, "synchronize", lambda device: None)
    terms = distant().terms
    assert replayed(terms, OnGpu(), 500) == terms


@NEEDS_GPU
@pytest.mark.parametrize("method", ["map", "vi"])
def test_a_graph_restores_what_single_kernels_restore(linear_prior, monkeypatch, method):
    image = to_grey(linear_prior.sample(1, seed=3))[0, 0].numpy()
    hole = np.zeros(image.shape, dtype=bool)
    hole[4:16, 10:20] = True
    run = partial(restore, image, Mask(hole), prior=linear_prior, method=method, samples=4, seed=0, device="cuda")
    found = run()
    monkeypatch.setattr(module, "_FEWEST", 10**9)
    np.testing.assert_allclose(found.estimate, run().estimate, atol=0.05)
