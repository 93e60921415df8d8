"""Jobs and results as plain values: what comes of them is what came of the original."""

from __future__ import annotations

import pickle
from dataclasses import replace
from functools import partial

import numpy as np
import pytest

from napari_brgm.corruptions import Blur, Downsample, Identity, Jpeg, Mask
from napari_brgm.engine.job import Job, Later, ObservedSlice, Stack
from napari_brgm.engine.restoration import Restoration
from napari_brgm.engine.run import run
from napari_brgm.engine.second_scan import SecondScan
from napari_brgm.errors import InputError
from napari_brgm.remote.plain import job_of, plain_job, plain_restoration, restoration_of
from napari_brgm.samples import Samples
from napari_brgm.settings import preset

PLAIN = preset("default").but(fit_pose=False, steps=2)


def over_the_wire(value):
    return pickle.loads(pickle.dumps(value))


@pytest.fixture
def stack(stack_prior, stack_of):
    """Holes in two slices of sixty, of which few are near enough to help; those that were read are noted."""
    volume, read = stack_of(60, seed=9), []
    hole = np.zeros((24, 24), bool)
    hole[8:15, 9:16] = True

    def image(i: int) -> np.ndarray:
        read.append(i)
        return volume[i]

    slices = tuple(ObservedSlice(volume[i], partial(Mask, hole), (1.5, 1.5)) for i in (2, 3))
    others = tuple((float(i), Later(partial(image, i))) for i in range(60) if i not in (2, 3))
    job = Job(slices, stack_prior, PLAIN, samples=3, seed=4, device="cpu", stack=Stack((2.0, 3.0), others))
    return job, read


def test_a_stack_sends_the_neighbours_that_help_and_gives_the_same(stack):
    """Catches slices of a patient that leave the machine for nothing."""
    job, read = stack
    sent = over_the_wire(plain_job(job, "stack-24"))
    gone = {int(at) for at, image in sent["stack"]["neighbours"] if image is not None}
    assert gone == set(read) and 0 < len(gone) < 40 and max(gone) < 45
    for one, other in zip(run(job_of(sent, job.prior)), run(job), strict=True):
        np.testing.assert_array_equal(one.estimate, other.estimate)
        np.testing.assert_array_equal(one.samples, other.samples)
        assert one.provenance["notes"] == other.provenance["notes"]
    sent = plain_job(replace(job, method="vi"), "stack-24")  # one slice at a time
    assert all(image is None for _, image in sent["stack"]["neighbours"])


def test_a_second_scan_goes_with_its_slice(stack):
    job, _ = stack
    image, missing = np.asarray(job.slices[0].image), job.slices[0].corruption().missing.numpy()
    both = replace(
        job, slices=(replace(job.slices[0], second=SecondScan.matched(2 * image + 3, image, ~missing)),), stack=None
    )
    there, here = (run(one)[0] for one in (job_of(over_the_wire(plain_job(both, "stack-24")), job.prior), both))
    np.testing.assert_array_equal(there.estimate, here.estimate)
    assert there.provenance["second"] == here.provenance["second"]


def test_corruptions_keep_their_numbers(linear_prior):
    missing = np.arange(16).reshape(4, 4) > 9
    for f in (
        Mask(missing), Identity(), Jpeg(23), Downsample(4), Downsample((2.5, 1.0), "slice_profile", width=0.6),
        Downsample((3, 2, 2)),
    ):  # fmt: skip
        job = Job((ObservedSlice(np.ones((4, 4)), lambda f=f: f),), linear_prior, PLAIN)
        (one,) = job_of(over_the_wire(plain_job(job, "toy")), linear_prior).slices
        found = one.corruption()
        assert type(found) is type(f) and found.describe() == f.describe()
    blurred = Job((ObservedSlice(np.ones((4, 4)), lambda: Blur(2.0)),), linear_prior, PLAIN)
    (one,) = job_of(plain_job(blurred, "toy"), linear_prior).slices
    with pytest.raises(InputError, match="Blur cannot be sent to another machine; restore it on this one"):
        one.corruption()


def test_samples_that_are_kept_where_they_differ_stay_so():
    free = np.arange(20).reshape(4, 5) > 15
    image = np.ones((4, 5), np.float32)
    drawn = Samples(np.arange(8, dtype=np.float32).reshape(2, 4), free, image)
    result = Restoration(image, image, image, drawn, np.zeros((1, 2), np.float32), ~free, [], {"samples": 2})
    found = restoration_of(over_the_wire(plain_restoration(result)))
    assert isinstance(found.samples, Samples) and found.samples.values.nbytes == drawn.values.nbytes
    np.testing.assert_array_equal(np.asarray(found.samples), np.asarray(drawn))
