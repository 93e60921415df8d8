"""Two scans of one patient as one observation: matched, weighed by what they differ by, and true to both."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import ndimage

from napari_brgm.corruptions import Downsample, Mask
from napari_brgm.engine.restore import restore
from napari_brgm.engine.second_scan import SecondScan
from napari_brgm.engine.volume import restore_volume
from napari_brgm.errors import InputError
from napari_brgm.settings import preset

PLAIN = preset("default").but(fit_pose=False, steps=2)
MM = (1.0, 1.5, 1.5)


def noise(shape, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=shape)


@pytest.fixture(scope="module")
def anatomy() -> np.ndarray:
    """(80, 90), smooth, 100 to 900."""
    found = ndimage.gaussian_filter(noise((80, 90)), 4)
    return 500 + 400 * found / np.abs(found).max()


@pytest.fixture
def hole() -> np.ndarray:
    missing = np.zeros((80, 90), dtype=bool)
    missing[30:50, 35:60] = True
    return missing


def test_it_is_matched_whatever_its_units(anatomy, hole):
    """Catches a slope of the wrong way round, which shrinks what a noisy scan says."""
    second = 3 * (anatomy + 60 * noise(anatomy.shape, 7)) - 40
    found = SecondScan.matched(second, anatomy, ~hole)
    assert found.gain == pytest.approx(1 / 3, rel=0.05)
    assert found.sigma == pytest.approx(60, rel=0.25)
    assert abs((found.image - anatomy)[hole].mean()) < 15
    assert found.image.dtype == np.float32


def test_errors_that_go_on_over_pixels_count_for_more(anatomy, hole):
    rough = ndimage.gaussian_filter(noise(anatomy.shape, 7), 1)
    second = anatomy + 60 * rough / rough.std()
    assert SecondScan.matched(second, anatomy, ~hole).sigma > 130


def test_what_it_did_not_see_stays_unknown(anatomy, hole):
    second = anatomy.copy()
    second[:40] = np.nan
    found = SecondScan.matched(second, anatomy, ~hole)
    assert np.array_equal(np.isfinite(found.image), np.isfinite(second))
    np.testing.assert_allclose(found.image[40:50, 35:60], anatomy[40:50, 35:60], rtol=1e-4)


@pytest.mark.parametrize(
    ("change", "why"),
    [
        (lambda a: a[1:], "on the grid of the first"),
        (lambda a: a.astype(complex), "must be real numbers"),
        (lambda a: 1000 - a, "does not look like the first"),
        (lambda a: 300 * noise(a.shape, 5), "does not look like the first"),
        (lambda a: np.where(np.arange(90) < 70, np.nan, a), "saw nothing of what is hidden"),
        (lambda a: np.where(np.abs(np.arange(90) - 47) > 12, np.nan, a) * _only_rows(a, 30, 50), "too few"),
    ],
)
def test_what_cannot_be_matched_is_refused(anatomy, hole, change, why):
    with pytest.raises(InputError, match=why):
        SecondScan.matched(change(anatomy), anatomy, ~hole)


def _only_rows(a: np.ndarray, first: int, last: int) -> np.ndarray:
    found = np.full(a.shape, np.nan)
    found[first:last] = 1
    return found


def rms(values) -> float:
    return float(np.sqrt(np.mean(np.square(values))))


def test_a_slice_is_restored_by_both(stack_prior, stack_of):
    """Nearer than one scan alone and than the noisy second one, with the first one's pixels bit for bit."""
    missed: dict[str, list[float]] = {"both": [], "one": [], "second": []}
    inside = []
    for seed in range(4):
        truth = stack_of(1, seed=seed)[0]
        missing = np.zeros(truth.shape, dtype=bool)
        missing[6:18, 7:19] = True
        second = 0.5 * (truth + 8 * noise(truth.shape, seed)) + 3
        options = {"spacing": MM[1:], "settings": PLAIN, "samples": 32}
        one = restore(truth, Mask(missing), stack_prior, **options)
        both = restore(truth, Mask(missing), stack_prior, second=second, **options)
        assert np.array_equal(both.estimate[~missing], truth[~missing])
        assert np.array_equal(both.measured, ~missing)
        matched = SecondScan.matched(second, truth, ~missing)
        for name, image in (("both", both.estimate), ("one", one.estimate), ("second", matched.image)):
            missed[name].append(rms((image - truth)[missing]))
        low, high = both.interval(0.9)
        inside.append(((low <= truth) & (truth <= high))[missing].mean())
        assert both.variance[missing].mean() < one.variance[missing].mean()
        assert both.provenance["second"]["gain"] == pytest.approx(2, rel=0.15)
        assert both.provenance["second"]["share_of_hole"] == 1
        assert not both.provenance["calibration"]["applied"]
        assert any("second scan" in note for note in both.provenance["notes"])
        assert "second" not in one.provenance
    assert np.mean(missed["both"]) < 0.8 * min(np.mean(missed["one"]), np.mean(missed["second"]))
    assert 0.8 < np.mean(inside) <= 1


def test_a_stack_is_restored_by_both(stack_prior, stack_of):
    truth = stack_of(5, seed=9)
    missing = np.zeros(truth.shape, dtype=bool)
    missing[1:4, 6:18, 7:19] = True
    second = truth + 4 * noise(truth.shape, 3)
    second[2] = np.nan  # saw nothing of this one
    options = {"spacing": MM, "settings": PLAIN, "samples": 16}
    one = restore_volume(truth, Mask(missing), stack_prior, **options)
    both = restore_volume(truth, Mask(missing), stack_prior, second=second, **options)
    assert np.array_equal(both.estimate[~missing], truth[~missing])
    for image in np.asarray(both.samples):
        assert np.array_equal(image[~missing], truth[~missing])
    assert rms((both.estimate - truth)[missing]) < 0.8 * rms((one.estimate - truth)[missing])
    assert both.variance[1][missing[1]].mean() < 0.8 * one.variance[1][missing[1]].mean()
    with pytest.raises(InputError, match="helps to fill holes"):
        restore_volume(truth, Downsample((1, 2, 2)), stack_prior, second=second, **options)


def test_a_fine_scan_in_blocks(linear_prior, drawn):
    """Blocks hold pixels of both scans, each with its noise."""
    rows = np.repeat(np.repeat(np.asarray(drawn, float), 3, axis=0), 3, axis=1)
    truth = ndimage.gaussian_filter(rows, 1)
    missing = np.zeros(truth.shape, dtype=bool)
    height, width = truth.shape
    missing[height // 3 : height // 2, width // 3 + 1 : width // 2] = True
    spread = float(truth.std())
    second = truth + 0.05 * spread * noise(truth.shape, 2)
    spacing = (linear_prior.info.spacing_mm or 1.0) / 3
    options = {"spacing": (spacing, spacing), "settings": PLAIN, "samples": 8}
    one = restore(truth, Mask(missing), linear_prior, **options)
    both = restore(truth, Mask(missing), linear_prior, second=second, **options)
    assert np.array_equal(both.estimate[~missing], truth[~missing])
    assert rms((both.estimate - truth)[missing]) < rms((one.estimate - truth)[missing])
    assert both.variance[missing].mean() < one.variance[missing].mean()


def test_other_tasks_have_no_use_for_it(stack_prior, stack_of):
    truth = stack_of(1, seed=1)[0]
    with pytest.raises(InputError, match="helps to fill holes"):
        restore(truth, Downsample(2), stack_prior, second=truth, settings=PLAIN)


def test_of_a_head_the_brains_are_compared(stack_prior, stack_of):
    """The second one still has its skull, which the first, stripped, is black of."""
    truth = stack_of(1, seed=2)[0] + 20
    brain = np.hypot(*(np.indices(truth.shape) - 11.5)) < 10
    head = np.where(brain, truth, 900.0)
    missing = np.zeros(truth.shape, dtype=bool)
    missing[1:9, 7:17] = True
    second = 0.5 * (head + noise(truth.shape, 3)) + 3
    options = {"spacing": MM[1:], "settings": PLAIN, "samples": 4, "second": second, "brain": brain}
    found = restore(np.where(missing, 0, head), Mask(missing), stack_prior, **options)
    assert found.provenance["second"]["gain"] == pytest.approx(2, rel=0.05)
    assert found.provenance["second"]["noise"] < 4
    assert np.array_equal(found.estimate[~missing], head[~missing])
