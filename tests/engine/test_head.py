"""Head: the prior sees the brain only, and all that lies outside stays as it was measured, bit for bit."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from napari_brgm import restore
from napari_brgm.corruptions import Downsample, Jpeg, Mask
from napari_brgm.engine.head import Head
from napari_brgm.engine.job import ObservedSlice
from napari_brgm.errors import InputError
from napari_brgm.samples import Samples
from napari_brgm.scans.strip import Brain


@pytest.fixture(scope="module")
def inside() -> np.ndarray:
    rows, columns = np.indices((24, 24)) - 11.5
    return rows**2 + columns**2 < 8**2


@pytest.fixture(scope="module")
def whole(scan, inside) -> np.ndarray:
    """The scan with something bright round it."""
    return np.where(inside, scan, 900 + np.arange(576).reshape(24, 24)).astype(np.int16)


@pytest.fixture(scope="module")
def hole() -> np.ndarray:
    """Across the rim of the brain."""
    missing = np.zeros((24, 24), bool)
    missing[9:14, 15:22] = True
    return missing


def brain_of(inside) -> Brain:
    return Brain(inside, "deepbet 1.0.2")


def test_what_lies_outside_is_black_to_the_prior(whole, inside):
    head = Head.of(whole, brain_of(inside))
    assert head.stripped.dtype == whole.dtype
    assert (head.stripped[~inside] == 0).all() and np.array_equal(head.stripped[inside], whole[inside])
    below = Head.of(whole - 1000, brain_of(inside))
    assert (below.stripped[~inside] == (whole - 1000).min()).all()


def test_the_answer_inside_is_that_for_the_stripped_slice(whole, inside, hole, linear_prior, quick):
    """The whole head changes nothing: neither window, noise nor pose are those of the skull."""
    kept = hole & inside
    alone = restore(np.where(inside, whole, 0), Mask(kept), linear_prior, samples=2, settings=quick)
    found = restore(whole, Mask(hole), linear_prior, samples=2, settings=quick, brain=brain_of(inside))
    assert np.array_equal(found.estimate[kept], alone.estimate[kept])
    assert np.array_equal(found.samples[:, kept], alone.samples[:, kept])
    assert found.provenance["misfit"] == alone.provenance["misfit"]


def test_outside_all_stays_as_measured(whole, inside, hole, linear_prior, quick):
    """What is missing of it, too, but that is no measured pixel: nothing is known of it."""
    found = restore(whole, Mask(hole), linear_prior, samples=2, settings=quick, brain=brain_of(inside))
    kept = hole & inside
    assert np.array_equal(found.measured, ~hole)
    for image in (found.estimate, found.mean, *found.samples):
        assert np.array_equal(image[~kept], whole[~kept])
    window = found.provenance["window"]
    assert (found.variance[~hole] == 0).all() and (found.variance[kept] > 0).all()
    np.testing.assert_allclose(found.variance[hole & ~inside], (window["high"] - window["low"]) ** 2 / 12)
    alone = restore(whole, Mask(hole), linear_prior, samples=0, settings=quick, brain=brain_of(inside))
    assert np.array_equal(np.isnan(alone.variance), hole)


def test_a_pixel_outside_that_is_no_number_is_not_measured(whole, inside, hole, linear_prior, quick):
    """Whatever happened to the slice, on a finer grid too; the brain is what it would be without."""
    spoilt = whole.astype(np.float32)
    spoilt[0, 3], spoilt[1, 1] = np.nan, np.inf
    for f, spacing in ((Mask(hole & inside), (1.5, 1.5)), (Downsample(2), (3.0, 3.0))):
        found, clean = (
            restore(one, f, linear_prior, samples=2, settings=quick, brain=inside, spacing=spacing)
            for one in (spoilt, whole.astype(np.float32))
        )
        bad = ~np.isfinite(found.estimate)
        assert bad.sum() in (2, 8) and np.array_equal(found.measured, clean.measured & ~bad)
        assert np.array_equal(found.estimate[~bad], clean.estimate[~bad])


def test_the_record_says_who_found_the_brain_and_what_was_left(whole, inside, hole, linear_prior, quick):
    found = restore(whole, Mask(hole), linear_prior, samples=2, settings=quick, brain=brain_of(inside))
    left = int((hole & ~inside).sum())
    assert found.provenance["strip"] == {
        "found_by": "deepbet 1.0.2", "pixels": int(inside.sum()), "left_outside": left
    }  # fmt: skip
    assert any(f"{left} of its pixels lie outside" in note for note in found.provenance["notes"])
    clean = restore(whole, Mask(hole & inside), linear_prior, samples=2, settings=quick, brain=inside)
    assert not any("rim of the brain" in note for note in clean.provenance["notes"])
    assert clean.provenance["strip"]["found_by"] == "the person"


def test_a_hole_outside_and_a_slice_without_brain_are_refused(whole, inside, linear_prior, quick):
    outside = np.zeros((24, 24), bool)
    outside[:3, :3] = True
    with pytest.raises(InputError, match=r"lies outside the brain.*mark a part of the brain"):
        restore(whole, Mask(outside), linear_prior, settings=quick, brain=inside)
    with pytest.raises(InputError, match="there is no brain on this slice"):
        restore(whole, Mask(outside), linear_prior, settings=quick, brain=np.zeros((24, 24), bool))


def test_a_refused_slice_is_refused_when_its_turn_comes(whole, inside):
    """So that it costs only itself among the slices of a job."""
    outside = np.zeros((24, 24), bool)
    outside[:3, :3] = True
    one = Head.of(whole, brain_of(inside), Mask(outside)).observed(ObservedSlice(whole, lambda: Mask(outside)))
    with pytest.raises(InputError):
        one.corruption()


def test_a_brain_of_another_slice_and_colour_are_refused(whole, inside):
    with pytest.raises(InputError, match=r"\(24, 23\) but the slice \(24, 24\)"):
        Head.of(whole, brain_of(inside[:, 1:]))
    with pytest.raises(InputError, match="gray slices"):
        Head.of(np.zeros((24, 24, 3)), brain_of(inside))
    with pytest.raises(InputError, match="must hold real numbers"):
        Head.of(np.full((24, 24), "a"), brain_of(inside))


@pytest.mark.parametrize("brain", [np.full((24, 24), 0.3), np.full((24, 24), np.nan), "abc", [[True], [True, False]]])
def test_a_brain_that_is_no_mask_is_refused(whole, hole, linear_prior, quick, brain):
    with pytest.raises(InputError, match="a brain must hold only true and false"):
        restore(whole, Mask(hole), linear_prior, settings=quick, brain=brain)


def test_a_brain_of_ones_and_zeros_is_one(whole, inside, hole, linear_prior, quick):
    one, other = (
        restore(whole, Mask(hole), linear_prior, samples=2, settings=quick, brain=brain)
        for brain in (inside, inside.astype(float))
    )
    np.testing.assert_array_equal(one.estimate, other.estimate)


def test_finer_pixels_outside_hold_the_measured_ones_they_lie_in(whole, inside, linear_prior, quick):
    found = restore(whole, Downsample(2), linear_prior, samples=2, settings=quick, spacing=(3.0, 3.0), brain=inside)
    twice, fine = (np.repeat(np.repeat(a, 2, 0), 2, 1) for a in (whole, inside))
    assert found.shape == (48, 48) and np.array_equal(found.measured, ~fine)
    assert np.array_equal(found.estimate[~fine], twice[~fine]) and (found.variance[~fine] == 0).all()
    assert not np.array_equal(found.estimate[fine], twice[fine])


def test_a_cleaned_brain_lies_in_the_head_as_given(whole, inside, linear_prior, quick):
    found = restore(whole, Jpeg(30), linear_prior, samples=2, settings=quick, brain=inside)
    assert np.array_equal(found.estimate[~inside], whole[~inside]) and np.array_equal(found.measured, ~inside)
    assert "every pixel of the brain is an estimate; none of it is kept as measured" in found.provenance["notes"]
    assert "as measured" not in found.provenance["notice"]


def test_draws_that_are_kept_apart_are_put_into_the_head(whole, inside, hole, linear_prior, quick):
    found = restore(whole, Mask(hole & inside), linear_prior, samples=2, settings=quick)
    kept = hole & inside
    apart = replace(found, samples=Samples(found.samples[:, kept], kept, np.zeros((24, 24))))
    drawn = Head.of(whole, brain_of(inside), Mask(hole)).beside(apart).samples
    assert np.array_equal(np.asarray(drawn)[:, kept], found.samples[:, kept])
    assert (np.asarray(drawn)[:, ~kept] == whole[~kept]).all()


def test_what_is_shown_on_the_way_lies_in_the_head(whole, inside):
    shown = Head.of(whole, brain_of(inside)).shown(np.full((24, 24), 7, np.float32))
    assert (shown[inside] == 7).all() and np.array_equal(shown[~inside], whole[~inside])
