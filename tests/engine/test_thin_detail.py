"""Thin slices as a network reads them: where it is used, that windows leave no seam, and that all sums are met."""

from __future__ import annotations

from functools import partial

import numpy as np
import pytest
import torch

from napari_brgm.corruptions import Downsample, Identity
from napari_brgm.engine.alignment import Alignment
from napari_brgm.engine.job import Job, ObservedSlice
from napari_brgm.engine.run import run
from napari_brgm.engine.thin_detail import SPREAD
from napari_brgm.engine.thin_slices import ThinSlices
from napari_brgm.engine.volume import restore_volume
from napari_brgm.errors import WeightsError
from napari_brgm.priors.through_detail import ThroughDetail
from napari_brgm.settings import preset

PLAIN = preset("default").but(fit_pose=False, steps=2)
HERE = Alignment(0, 0, 1, 0, 0, 255)  # of the prior's own draws


@pytest.fixture(scope="module")
def net() -> ThroughDetail:
    """Nothing that was learnt: loud enough to be seen."""
    torch.manual_seed(0)
    found = ThroughDetail(4, 1, 2)
    with torch.no_grad():
        found.leave.weight.mul_(6)
    return found.eval().requires_grad_(False)


@pytest.fixture(scope="module")
def restored(stack_prior, with_parts, net):
    return partial(
        restore_volume, prior=with_parts(stack_prior, detail=net), spacing=(3.0, 1.5, 1.5), settings=PLAIN, samples=4,
        alignment=HERE,
    )  # fmt: skip


def seen_of(truth, f) -> np.ndarray:
    return f(torch.from_numpy(truth)[None])[0].numpy()


@pytest.mark.parametrize("thick", [1, 4, 15])
def test_windows_read_what_the_network_reads_of_the_whole_stack(restored, stack_of, net, thick):
    """15 go in several windows: catches neighbours that are lost at their borders, and draws about another mean."""
    f = Downsample((3, 1, 1))
    seen = seen_of(stack_of(3 * thick, seed=11), f)
    found = restored(seen, f)
    whole = net.thin(torch.from_numpy(seen), 3, 3.0).numpy()
    np.testing.assert_allclose(found.estimate, whole, atol=0.5)  # of splines that are cut 4 slices aside
    assert np.abs(whole - np.repeat(seen, 3, axis=0)).max() > 5
    np.testing.assert_allclose(found.mean, found.estimate, atol=1e-3)
    every = torch.from_numpy(np.asarray(found.samples))
    assert np.abs(f(every).numpy() - seen).max() < 1e-2


def test_draws_are_those_of_the_stack_about_what_was_read(restored, stack_prior, stack_of):
    f = Downsample((3, 1, 1))
    seen = seen_of(stack_of(12, seed=11), f)
    found, plain = restored(seen, f), restored(seen, f, prior=stack_prior)
    np.testing.assert_allclose(found.std, SPREAD * plain.std, rtol=1e-2, atol=0.02)
    assert np.abs(found.estimate - plain.estimate).max() > 2


@pytest.mark.parametrize(
    "f",
    [
        Downsample((2, 2, 2)), Downsample((3, 1, 1), "slice_profile", width=0.8, fwhm=0.0),
        Downsample((3, 1, 1), "slice_profile", width=1.5, fwhm=0.0), Downsample((2.5, 1, 1)),
    ],
    ids=["coarse", "gaps", "overlap", "fraction"],
)  # fmt: skip
def test_other_slices_are_those_of_the_stack_alone(restored, stack_prior, stack_of, f):
    seen = seen_of(stack_of(10, seed=12), f)
    spacing = (2.0, 3.0, 3.0) if f.through == 2 else (3.0, 1.5, 1.5)
    found, plain = (restored(seen, f, spacing=spacing, prior=one) for one in (restored.keywords["prior"], stack_prior))
    np.testing.assert_array_equal(found.estimate, plain.estimate)


@pytest.mark.parametrize(("spacing", "read"), [(0.9, False), (3.0, True), (9.0, True), (9.5, False)])
def test_thicknesses_that_nobody_taught_are_those_of_the_stack_alone(restored, stack_prior, stack_of, spacing, read):
    f = Downsample((3, 1, 1))
    seen = seen_of(stack_of(9, seed=12), f)
    mm = (spacing, 1.5, 1.5)
    found, plain = (restored(seen, f, spacing=mm, prior=one) for one in (restored.keywords["prior"], stack_prior))
    assert np.array_equal(found.estimate, plain.estimate) != read


def test_a_slice_that_cannot_be_read_is_an_end_of_the_stack(restored, stack_of, net):
    f, truth = Downsample((3, 1, 1)), stack_of(30, seed=13)
    seen = seen_of(truth, f)
    seen[9] = np.nan
    slices = tuple(ObservedSlice(one, Identity, (1.5, 1.5)) for one in seen)
    stack = ThinSlices(10, 3.0, f).stack()
    results = run(Job(slices, restored.keywords["prior"], PLAIN, "map", 2, 0, "cpu", HERE, stack))
    whole = net.thin(torch.from_numpy(seen[:9]), 3, 3.0).numpy()
    for found, expected in zip(results[:12], whole[:12], strict=True):
        np.testing.assert_allclose(found.estimate, expected, atol=0.5)


def test_weights_that_do_not_fit_are_refused(net):
    weights = dict(net.state_dict())
    del weights["leave.bias"]
    with pytest.raises(WeightsError, match="incomplete"):
        ThroughDetail.from_state_dict(weights)
