"""restore_volume: slices of a small prior's own model, whose truth is known, restored together."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from itertools import pairwise

import numpy as np
import pytest
import torch

from napari_brgm.corruptions import Downsample, Mask
from napari_brgm.engine import need
from napari_brgm.engine.alignment import Alignment
from napari_brgm.engine.job import Job, ObservedSlice, Stack
from napari_brgm.engine.restoration import Restoration
from napari_brgm.engine.restore import restore
from napari_brgm.engine.run import run
from napari_brgm.engine.volume import restore_volume
from napari_brgm.errors import Cancelled, InputError, OutputError
from napari_brgm.priors.latent_mixture import LatentMixture
from napari_brgm.settings import preset

PLAIN = preset("default").but(fit_pose=False, steps=2)  # the scan is the prior's own: nothing is to be placed
MM = (1.0, 1.5, 1.5)
HOLE = (slice(7, 17), slice(8, 18))


def rms(values) -> float:
    return float(np.sqrt(np.mean(np.square(np.asarray(values, float)))))


def steps(stack) -> np.ndarray:
    """(K - 1,) root mean square of what changes from slice to slice."""
    return np.sqrt(np.mean(np.square(np.diff(np.asarray(stack, float), axis=-3)), axis=(-1, -2))).reshape(-1)


@pytest.fixture(scope="module")
def restored(stack_prior):
    return partial(restore_volume, prior=stack_prior, spacing=MM, settings=PLAIN, samples=4)


def holes(n: int, *slices: int, whole: tuple[int, ...] = ()) -> np.ndarray:
    missing = np.zeros((n, 24, 24), dtype=bool)
    for i in slices:
        missing[(i, *HOLE)] = True
    missing[list(whole)] = True
    return missing


def test_measured_pixels_stay_bit_for_bit_and_neighbours_tell_of_the_hidden_ones(restored, stack_prior, stack_of):
    truth, missing = stack_of(9, seed=1), holes(9, 2, 4, whole=(6,))
    found = restored(truth, Mask(missing))
    assert found.estimate.dtype == truth.dtype and found.shape == truth.shape
    assert np.array_equal(found.measured, ~missing)
    for images in (found.estimate, found.mean.astype(np.float32), *np.asarray(found.samples)):
        np.testing.assert_array_equal(images[~missing], truth[~missing])
    assert (found.variance[~missing] == 0).all() and (found.variance[missing] > 0).all()
    alone = [
        restore(truth[i], Mask(missing[i]), stack_prior, spacing=MM[1:], settings=PLAIN, samples=4).estimate
        for i in (2, 4)
    ]
    missed = (found.estimate - truth)[[2, 4]][:, *HOLE]
    assert rms(missed) < 0.5 * rms((np.stack(alone) - truth[[2, 4]])[:, *HOLE])
    assert rms(found.estimate[6] - truth[6]) < 2
    assert "slices" in found.provenance and found.latents.shape[0] == 3
    assert [one["index"] for one in found.provenance["slices"]] == [2, 4, 6]
    assert found.provenance["slices"][2]["stack"]["nearest_measured_mm"] == 1.0


@pytest.mark.parametrize("where", [(0,), (8,), (7, 8), (0, 8), (4,)])
def test_slices_that_are_hidden_as_a_whole(restored, stack_of, where):
    """Anywhere in the stack: catches measured slices that are taken for the first ones of it."""
    truth, missing = stack_of(9, seed=2), holes(9, whole=where)
    found = restored(truth, Mask(missing))
    others = [i for i in range(9) if i not in where]
    for i in where:
        nearest = min(abs(i - other) for other in others)
        missed, far = rms(found.estimate[i] - truth[i]), rms(truth[i] - truth[:4].mean() * np.ones((24, 24)))
        assert missed < 2.2 * nearest + 1 and missed < far


@pytest.mark.parametrize("kind", ["holes", "slice"])
def test_intervals_hold_what_the_prior_draws(stack_prior, stack_of, kind):
    """Of the model itself, whose noise is 3 grey levels and whose scale is 1: 90 % of the truth lies in 90 %."""
    missing = holes(7, 1, 3, 5) if kind == "holes" else holes(7, whole=(3,))
    inside = []
    for seed in range(4):
        truth = stack_of(7, seed=20 + seed, mm=2.0)
        seen = truth + 3 * np.random.default_rng(seed).normal(size=truth.shape).astype(np.float32)
        found = restore_volume(
            seen, Mask(missing), stack_prior, spacing=(2.0, 1.5, 1.5), settings=PLAIN.but(adapt_residual=False),
            samples=24, noise_sigma=3.0,
        )  # fmt: skip
        low, high = found.interval(0.9)
        inside.append(((low <= truth) & (truth <= high))[missing].mean())
    assert 0.85 < np.mean(inside) < 0.95


def test_a_slice_without_neighbours_is_that_of_restore(restored, stack_prior, stack_of):
    """Bit for bit: by itself, and where the next ones are too far to help."""
    truth, missing = stack_of(3, seed=4), holes(3, 1)
    alone = restore(truth[1], Mask(missing[1]), stack_prior, spacing=MM[1:], settings=PLAIN, samples=4, seed=5)
    far = restored(truth, Mask(missing), spacing=(50.0, 1.5, 1.5), seed=5)
    single = restored(truth[1:2], Mask(missing[1:2]), seed=5)
    for found, at in ((far, 1), (single, 0)):
        np.testing.assert_array_equal(found.estimate[at], alone.estimate)
        np.testing.assert_array_equal(np.asarray(found.samples)[:, at], alone.samples)
        np.testing.assert_array_equal(found.variance[at], alone.variance)
    near = restored(truth, Mask(missing), seed=5)
    assert not np.array_equal(near.estimate[1], alone.estimate)


def test_stacks_are_restored_under_the_gaussian(restored, stack_prior, with_parts, stack_of):
    """Whatever the density of single slices: what correlates slices was measured under it."""
    truth, missing = stack_of(3, seed=4), holes(3, 1)
    centres = torch.randn(20, 3, generator=torch.Generator().manual_seed(0))
    prior = with_parts(stack_prior, mixture=LatentMixture(centres, torch.full((3,), 0.9)))
    plain = restored(truth, Mask(missing), settings=PLAIN)
    found = restored(truth, Mask(missing), prior=prior, settings=PLAIN.but(prior_density="mixture"))
    np.testing.assert_array_equal(found.estimate, plain.estimate)
    np.testing.assert_array_equal(found.samples, plain.samples)


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"prior": None}, "stack-24 knows nothing of how neighbouring slices belong together"),
        ({"method": "laplace"}, "method 'laplace' restores one slice at a time"),
        ({"settings": PLAIN.but(lambda_colinear=1.0)}, "preset 'default' restores one slice at a time"),
    ],
)
def test_what_takes_one_slice_at_a_time_says_so(restored, stack_prior, with_parts, stack_of, change, reason):
    truth, missing = stack_of(3, seed=4), holes(3, 1, 2)
    prior = with_parts(stack_prior, through=None) if "prior" in change else stack_prior
    change = {"settings": PLAIN} | change | {"prior": prior}
    found = restored(truth, Mask(missing), **change)
    assert f"each slice was restored by itself: {reason}" in found.provenance["notes"]
    alone = restore(
        truth[2], Mask(missing[2]), prior, spacing=MM[1:], samples=4, settings=change["settings"],
        method=change.get("method", "map"),
    )  # fmt: skip
    np.testing.assert_array_equal(found.estimate[2], alone.estimate)
    with pytest.raises(InputError, match="thin slices cannot be restored from thick ones here"):
        restored(truth, Downsample((3, 1, 1)), **change)


def test_long_runs_of_hidden_slices_go_on_from_window_to_window(restored, stack_of):
    """Forty in a row, which take three windows, one of them without a measured slice: draws show no seam, and stay as
    far from the truth as the prior's own slices do. Catches windows that are drawn apart, and a scale of their own."""
    truth, missing = stack_of(52, seed=7), holes(52, whole=tuple(range(6, 46)))
    found = restored(truth, Mask(missing), samples=8)
    drawn = np.asarray(found.samples)
    change = np.sqrt(np.mean(np.diff(drawn, axis=1)[:, 6:45] ** 2, axis=(0, 2, 3)))
    assert change.max() < 1.35 * np.median(change) and change.min() > 0.7 * np.median(change)
    middle = found.std[20:32].mean()
    assert found.std[7].mean() < 0.6 * middle < 10 and found.std[44].mean() < 0.6 * middle


def test_steps_are_told_and_any_of_them_can_end_it(restored, stack_of):
    truth, missing = stack_of(22, seed=8), holes(22, *range(1, 21))
    done = []
    restored(truth, Mask(missing), callback=lambda step: done.append((step.done, step.slice)))
    assert done[-1][0] == 1.0 and all(a[0] <= b[0] for a, b in pairwise(done))
    assert {at for _, at in done} <= set(range(20)) and max(at for _, at in done) > 15
    for last in (1, len(done) // 2):
        told = []

        def enough(step, told=told, last=last):
            told.append(step)
            return len(told) < last

        with pytest.raises(Cancelled):
            restored(truth, Mask(missing), callback=enough)
        assert len(told) == last


def test_the_same_seed_gives_the_same_result(restored, stack_of):
    truth, missing = stack_of(5, seed=9), holes(5, 1, 3)
    one, again, other = (restored(truth, Mask(missing), seed=seed) for seed in (3, 3, 4))
    np.testing.assert_array_equal(one.samples, again.samples)
    np.testing.assert_array_equal(one.estimate, again.estimate)
    assert not np.array_equal(one.samples, other.samples)


def test_no_samples_no_variance(restored, stack_of):
    """Over two windows, the second of which goes on from slices of which nothing was drawn."""
    truth, missing = stack_of(22, seed=9), holes(22, *range(1, 21), whole=(12,))
    found, drawn = restored(truth, Mask(missing), samples=0), restored(truth, Mask(missing), samples=2)
    assert len(found.samples) == 0 and np.isnan(found.variance[missing]).all()
    np.testing.assert_allclose(found.estimate, drawn.estimate, atol=0.2)


@pytest.mark.parametrize("corruption", ["mask", "thick"])
def test_save_and_load(restored, stack_of, tmp_path, corruption):
    truth = stack_of(4, seed=10)
    found = restored(truth, Mask(holes(4, 1, whole=(2,))) if corruption == "mask" else Downsample((2, 1, 1)))
    found = replace(found, widths=np.full((4, *found.shape), 1.5, np.float32))
    back = Restoration.load(found.save(tmp_path / "stack.safetensors"))
    for name in ("estimate", "mean", "variance", "samples", "latents", "measured", "std", "widths"):
        np.testing.assert_array_equal(np.asarray(getattr(back, name)), np.asarray(getattr(found, name)), name)
    for one, other in zip(back.interval(0.9), found.interval(0.9), strict=True):
        np.testing.assert_array_equal(one, other)
        assert one.shape == found.shape
    assert back.provenance == found.provenance


# thick slices


@pytest.mark.parametrize("thick", [4, 15])
def test_thin_slices_agree_with_the_thick_ones_and_are_nearer_to_the_truth(restored, stack_of, thick):
    """Of 15 in four windows. Without a staircase: from one thick slice to the next draws change as much as within
    them, and the same at a window's border; catches corrections that are the same for all thin slices of a thick one.
    """
    truth, f = stack_of(3 * thick, seed=11), Downsample((3, 1, 1))
    seen = f(torch.from_numpy(truth)[None])[0].numpy()
    found = restored(seen, f, spacing=(3.0, 1.5, 1.5))
    assert found.shape == truth.shape and not found.measured.any()
    every = np.concatenate([found.estimate[None], np.asarray(found.samples)]).astype(np.float32)
    assert np.abs(f(torch.from_numpy(every)).numpy() - seen).max() < 1e-2
    assert rms(found.estimate - truth) < 0.6 * rms(np.repeat(seen, 3, axis=0) - truth)
    change = np.sqrt(np.mean(np.diff(every[1:], axis=1) ** 2, axis=(0, 2, 3)))
    assert change[2::3].mean() < 1.15 * np.delete(change, slice(2, None, 3)).mean()
    assert change.max() < 1.3 * np.median(change)
    assert [one["index"] for one in found.provenance["slices"]] == list(range(3 * thick))


def test_slices_that_are_thick_and_coarse(restored, stack_of):
    truth, f = stack_of(8, seed=12), Downsample((2, 2, 2), "slice_profile", width=0.8)
    seen = f(torch.from_numpy(truth)[None])[0].numpy()
    found = restored(seen, f, spacing=(2.0, 3.0, 3.0))
    assert found.shape == truth.shape
    drawn = torch.from_numpy(np.asarray(found.samples))
    assert np.abs(f(drawn).numpy() - seen).max() < 0.05
    assert rms(found.estimate - truth) < 0.8 * rms(np.repeat(seen, 2, 0).repeat(2, 1).repeat(2, 2) - truth)


def test_thin_slices_of_a_thick_one_that_cannot_be_used_are_refused_with_it(stack_prior, stack_of):
    """And those of the others are restored: catches a thick slice's number that is taken for a thin one's."""
    f, truth = Downsample((2, 1, 1)), stack_of(24, seed=13)
    seen = list(f(torch.from_numpy(truth)[None])[0].numpy())
    seen[9] = np.full((24, 24), np.nan)
    slices = tuple(ObservedSlice(one, lambda: f.in_plane, (1.5, 1.5)) for one in seen)
    thin = tuple(float(i) for i in range(24))
    stack = Stack(tuple(2 * i + 0.5 for i in range(12)), (), thin, f.slice_profile(24))
    found = run(Job(slices, stack_prior, PLAIN, samples=2, stack=stack))
    assert [i for i, one in enumerate(found) if isinstance(one, InputError)] == [18, 19]
    assert "NaN" in str(found[18])


# heads


@pytest.fixture
def headed(stack_of):
    """Brains of six slices in bright skulls, and which pixels are brain; the last slice has none."""
    truth = stack_of(6, seed=20)
    inside = np.zeros(truth.shape, dtype=bool)
    inside[:5, 2:22, 2:22] = True
    return np.where(inside, truth, 220.0), inside


def test_of_heads_the_brain_alone_is_seen_and_restored(restored, headed):
    """As though the skull had been cut off before; outside nothing changes, nor where only the skull was hit. What is
    missing there is told, and no measured pixel."""
    head, inside = headed
    missing = holes(6, 1, 2, whole=(4,))
    missing[0, :2] = missing[5, :3] = True
    spoilt = np.where(missing, np.nan, head)
    found = restored(spoilt, Mask(missing), brain=inside)
    own = missing & inside
    assert np.array_equal(found.measured, ~missing)
    assert np.array_equal(found.variance > 0, missing) and len(np.unique(found.variance[missing & ~own])) == 1
    assert sum(
        "missing of slices 0, 5 lies outside the brain" in note and "stays as it was" in note
        for note in found.provenance["notes"]
    ) == 1  # fmt: skip
    np.testing.assert_array_equal(found.estimate[~own], spoilt[~own])
    np.testing.assert_array_equal(np.asarray(found.samples)[:, ~own], np.repeat(spoilt[~own][None], 4, 0))
    own[4] = True  # what is hidden of a slice with all of its brain
    cut = restored(np.where(inside & ~own, head, 0), Mask(own))
    own &= inside
    np.testing.assert_allclose(found.estimate[own], cut.estimate[own], atol=1e-3)
    assert found.provenance["slices"][0]["strip"]["left_outside"] == 0
    assert found.provenance["slices"][-1]["strip"]["left_outside"] == 24**2 - 20**2


def test_thin_slices_of_heads_have_the_thick_ones_outside_the_brain(restored, headed):
    head, inside = headed
    thick, brain = head.reshape(3, 2, 24, 24).mean(axis=1), inside.reshape(3, 2, 24, 24).any(axis=1)
    f = Downsample((2, 1, 1))
    found = restored(thick, f, brain=brain)
    twice = np.repeat(brain, 2, 0)
    assert np.array_equal(found.measured, ~twice)
    np.testing.assert_allclose(found.estimate[~twice], np.repeat(thick, 2, 0)[~twice])
    again = f(torch.from_numpy(np.asarray(found.samples))).numpy()
    assert np.abs(again - thick).max() < 0.05


def test_a_lost_slice_of_a_head_is_lost_inside_the_brain_only(restored, headed):
    """What lies outside the field of view there is no brain: catches a note that counts the whole slice."""
    head, inside = (np.pad(array, ((0, 0), (4, 4), (4, 4)), "edge") for array in headed)
    missing = np.zeros(head.shape, dtype=bool)
    missing[2] = True
    spoilt, alignment = np.where(missing, np.nan, head), Alignment(0, 0, 1, 0, 0, 255)
    found = restored(spoilt, Mask(missing), brain=inside, alignment=alignment)
    assert not [note for note in found.provenance["notes"] if "field of view" in note]
    assert np.array_equal(found.measured, ~missing) and np.isfinite(found.estimate[2][inside[2]]).all()
    larger = inside.copy()
    larger[2, 1] = True  # a row beyond the frame
    notes = restored(spoilt, Mask(missing), brain=larger, alignment=alignment).provenance["notes"]
    assert [note.split(" masked")[0] for note in notes if "field of view" in note] == ["32"]


def test_slices_that_are_left_count_no_nan_as_measured(restored, headed):
    head, inside = headed
    head[3, 0, 0] = np.inf
    found = restored(head, Mask(holes(6, 1)), brain=inside)
    assert not found.measured[3, 0, 0] and found.measured[3].sum() == 24**2 - 1
    assert found.variance[3, 0, 0] > 0 and np.isinf(found.samples[:, 3, 0, 0]).all()


def test_thick_slices_may_hold_anything_outside_the_brain(restored, headed):
    """As those without; a slice without brain may be lost altogether. Inside they are refused as ever."""
    head, inside = headed
    thick, brain = head[[0, 2, 5]], inside[[0, 2, 5]]
    spoilt = thick.copy()
    spoilt[1, 0], spoilt[1, 1, 3], spoilt[2] = np.nan, np.inf, np.nan
    f = Downsample((2, 1, 1))
    found, clean = (restored(one, f, brain=brain) for one in (spoilt, thick))
    twice = np.repeat(brain, 2, 0)
    np.testing.assert_array_equal(found.estimate[twice], clean.estimate[twice])
    np.testing.assert_array_equal(np.asarray(found.samples)[:, twice], np.asarray(clean.samples)[:, twice])
    np.testing.assert_array_equal(found.estimate[~twice], np.repeat(spoilt, 2, 0)[~twice])
    assert np.array_equal(found.measured, ~twice & np.isfinite(np.repeat(spoilt, 2, 0)))
    spoilt[1, 10, 10] = np.nan
    with pytest.raises(InputError, match="slice 1 holds NaN or infinite pixels inside the brain"):
        restored(spoilt, f, brain=brain)


def test_brains_that_cannot_be_used_are_refused(restored, headed):
    head, inside = headed
    skull = np.zeros(head.shape, dtype=bool)
    skull[1, :2] = skull[5, :2] = True
    head[3, 4, 4] = np.nan
    flags = "a brain must hold only true and false"
    for brain, missing, said in (
        (inside[1:], skull, r"the brain has the shape \(5, 24, 24\) but the volume \(6, 24, 24\)"),
        (np.zeros_like(inside), skull, "there is no brain in this volume"),
        (inside, skull, r"missing of slices 1, 5 lies outside the brain.*; mark a part of the brain"),
        (inside, holes(6, 3), "^slice 3: the image holds NaN"),
        (inside, holes(6, 1, 3), "^slice 3: the image holds NaN"),
        (np.where(inside, 0.3, 0), skull, flags),
        (np.where(inside, np.nan, 0), skull, flags),
        ("abc", skull, flags),
    ):
        with pytest.raises(InputError, match=said):
            restored(head, Mask(missing), brain=brain)


# what is wrong


def test_slices_of_which_one_needs_wider_numbers_keep_all_their_bits(restored, stack_of):
    """Integers that float32 cannot hold, in one slice only: catches a type that is the first slice's."""
    truth = np.round(stack_of(2, seed=19)).astype(np.int32)
    truth[1, 0, 0] = 2**24 + 1
    missing = holes(2, 0, 1)
    found = restored(truth, Mask(missing), alignment=Alignment(0, 0, 1, 0, 0, 255))
    np.testing.assert_array_equal(found.estimate[~missing], truth[~missing])


@pytest.mark.parametrize("trouble", ["mask", "shape", "nan", "raises"])
def test_a_slice_that_cannot_be_restored_costs_only_itself(stack_prior, stack_of, trouble):
    truth, missing = stack_of(6, seed=14), holes(6, 1, 2, 4)
    mask, image = missing[2], truth[2]
    if trouble == "mask":
        mask = missing[2, :20]
    if trouble == "shape":
        image, mask = truth[2, :20], missing[2, :20]
    if trouble == "nan":
        image = np.where(np.arange(24) == 0, np.nan, truth[2])

    def made() -> Mask:
        if trouble == "raises":
            raise ValueError("gone")
        return Mask(mask)

    slices = tuple(
        ObservedSlice(image if i == 2 else truth[i], made if i == 2 else partial(Mask, missing[i]), (1.5, 1.5))
        for i in (1, 2, 4)
    )
    stack = Stack((1.0, 2.0, 4.0), tuple((float(i), truth[i]) for i in (0, 3, 5)))
    found = run(Job(slices, stack_prior, PLAIN, samples=2, stack=stack))
    assert [type(one) for one in found] == [Restoration, InputError, Restoration]
    for one, i in ((found[0], 1), (found[2], 4)):
        assert rms((one.estimate - truth[i])[HOLE]) < 3


def test_a_lost_slice_that_cannot_be_described_costs_only_itself(stack_prior, stack_of):
    """As one that was measured."""
    truth, missing = stack_of(5, seed=14), holes(5, 1)
    slices = (
        ObservedSlice(truth[1], partial(Mask, missing[1]), (1.5, 1.5)),
        ObservedSlice(None, partial(Mask, np.ones((24, 24), dtype=bool)), (1.5, 1.5)),
    )
    stack = Stack((1.0, 3.0), tuple((float(i), truth[i]) for i in (0, 2, 4)))
    found = run(Job(slices, stack_prior, PLAIN, samples=2, stack=stack))
    assert isinstance(found[0], Restoration) and "marks every pixel as missing" in str(found[1])


def test_neighbours_that_cannot_be_read_or_are_blank_are_left_out(stack_prior, stack_of):
    """The first with a note. A blank slice may be a lost one, and would say that tissue ends there."""
    truth, missing = stack_of(5, seed=15), holes(5, 2)
    nan, blank = truth.copy(), truth.copy()
    nan[1, 3, 3], blank[:2] = np.nan, 0.0
    found = restore_volume(nan, Mask(missing), stack_prior, spacing=MM, settings=PLAIN, samples=2)
    notes = found.provenance["notes"]
    assert sum("a neighbouring slice was left out: the image holds NaN" in note for note in notes) == 1
    assert rms((found.estimate - truth)[missing]) < 4
    found = restore_volume(blank, Mask(missing), stack_prior, spacing=MM, settings=PLAIN, samples=2)
    assert found.provenance["notes"] == [] and rms((found.estimate - truth)[missing]) < 4


def test_blank_thick_slices_are_restored_as_such(restored, stack_of):
    """Those above the head of a volume: catches a volume that is refused for them."""
    f = Downsample((2, 1, 1))
    seen = f(torch.from_numpy(stack_of(8, seed=15))[None])[0].numpy()
    seen[0] = 0.0
    found = restored(seen, f)
    assert np.abs(f(torch.from_numpy(np.asarray(found.samples))).numpy() - seen).max() < 1e-2


def test_a_thick_slice_that_was_lost_is_told_of(restored, stack_of):
    """It rings into its neighbours. The last one of a volume may be above the head."""
    f = Downsample((2, 1, 1))
    seen = f(torch.from_numpy(stack_of(8, seed=15))[None])[0].numpy()
    seen[[1, 3]] = 0.0
    notes = restored(seen, f).provenance["notes"]
    assert [note.split(" has")[0] for note in notes if "same value throughout" in note] == ["thick slice 1"]


def test_a_slice_beyond_the_reach_of_all_others_says_that_it_is_alone(restored, stack_of):
    truth = stack_of(3, seed=16)
    found = restored(truth, Mask(holes(3, 1)), spacing=(30.0, 1.5, 1.5))
    assert [note for note in found.provenance["notes"] if "by itself: no other slice is within 20 mm" in note]


def test_pixels_of_a_slice_hidden_as_a_whole_outside_the_field_of_view_are_told_of(restored, stack_of):
    truth = np.pad(stack_of(5, seed=16), ((0, 0), (4, 4), (4, 4)))
    missing = np.zeros(truth.shape, dtype=bool)
    missing[2] = True
    found = restored(truth, Mask(missing), alignment=Alignment(0, 0, 1, 0, 0, 255))
    assert sum("lie outside the generator's field of view" in note for note in found.provenance["notes"]) == 1


def test_slices_far_from_all_that_was_measured_are_refused(restored, stack_of):
    truth = stack_of(3, seed=16)
    with pytest.raises(InputError, match="nothing of this slice was measured"):
        restored(truth, Mask(holes(3, whole=(1,))), spacing=(50.0, 1.5, 1.5))


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"volume": np.zeros((24, 24))}, r"takes slices \(K, H, W\), got an array of shape \(24, 24\)"),
        ({"volume": np.zeros((4, 24, 24, 3))}, r"takes slices \(K, H, W\), got an array of shape \(4, 24, 24, 3\)"),
        ({"volume": np.zeros((0, 24, 24)), "corruption": Downsample(2)}, "no slice"),
        ({"spacing": (1.0, 1.5)}, "spacing must be three lengths in mm"),
        ({"spacing": (0.0, 1.5, 1.5)}, "spacing must be three lengths in mm"),
        ({"spacing": (1.0, np.nan, 1.5)}, "spacing must be three lengths in mm"),
        ({"spacing": None}, "spacing must be three lengths in mm"),
        ({"spacing": "1 mm"}, "spacing must be three lengths in mm"),
        ({"corruption": Mask(holes(4, 1)[1])}, r"the mask has the shape \(24, 24\) but the volume \(4, 24, 24\)"),
        ({"corruption": partial(Mask, np.ones((4, 24, 24), bool))}, "marks every pixel as missing"),
        ({"corruption": Mask(holes(5, 1))}, r"the mask has the shape \(5, 24, 24\) but the volume \(4, 24, 24\)"),
        ({"method": "hmc"}, "method must be"),
        ({"samples": 1}, "samples must be at least 2"),
        ({"noise_sigma": -1.0}, "noise_sigma must be 0 or above"),
        ({"volume": np.zeros((4, 24, 24), complex)}, "real numbers"),
        ({"volume": np.full((4, 24, 24), np.nan), "corruption": Downsample((2, 1, 1))}, "slice 0 holds NaN"),
    ],
)
def test_what_cannot_be_done_is_said_in_a_sentence(restored, stack_of, change, said):
    given = {"volume": stack_of(4, seed=17), "corruption": Mask(holes(4, 1))} | change
    volume, corruption = given.pop("volume"), given.pop("corruption")
    with pytest.raises(InputError, match=said) as error:
        restored(volume, corruption() if isinstance(corruption, partial) else corruption, **given)
    assert "\n" not in str(error.value)


def test_one_slice_is_refused_what_needs_a_stack(stack_prior, stack_of):
    truth = stack_of(1, seed=18)[0]
    with pytest.raises(InputError, match="use restore_volume"):
        restore(truth, Downsample((3, 1, 1)), stack_prior)
    with pytest.raises(InputError, match="mask is that of a stack"):
        restore(truth, Mask(holes(2, 1)), stack_prior)


def test_what_the_network_draws_is_shown_on_every_slice(restored, stack_of):
    truth, missing = stack_of(9, seed=1), holes(9, 3, 4, 5)
    told = []
    restored(truth, Mask(missing), settings=PLAIN.but(preview_every=1, steps=6), callback=told.append)
    shown = [step for step in told if step.preview is not None]
    assert {step.slice for step in shown} == {0, 1, 2} and all(step.slices == step.together == 3 for step in shown)
    assert len({step.iteration for step in shown}) == len(shown) / 3
    for step in shown:
        i = (3, 4, 5)[step.slice]
        np.testing.assert_array_equal(step.preview[~missing[i]], truth[i][~missing[i]])


def test_draws_of_a_stack_are_counted(restored, stack_of, monkeypatch):
    """Catches half of a run in which the last step of MAP stood, however many draws were made."""
    monkeypatch.setattr("napari_brgm.inference.step._SILENCE", 0.0)
    told = []
    restored(stack_of(9, seed=1), Mask(holes(9, 3, 4, 5)), samples=16, callback=told.append)
    numbers = [step.iteration for step in told if step.phase == "samples"]
    assert numbers == sorted(numbers) and len(set(numbers)) > 3 and numbers[-1] == told[-1].total
    assert told[-1].done == 1.0 and numbers[0] >= max(s.iteration for s in told if s.phase == "map")


def test_a_run_of_few_steps_is_shown_from_the_first_of_the_network(restored, stack_of):
    """Steps that place the slices draw no images, and are not to be counted between previews."""
    truth = stack_of(7)
    missing = np.zeros(truth.shape, bool)
    missing[2, 10:20, 8:20] = missing[4, 12:22, 8:20] = True
    told = []
    restored(truth, Mask(missing), settings=PLAIN.but(preview_every=10, steps=6), callback=told.append)
    first = next(step for step in told if step.phase == "map")
    assert first.iteration > 1 and first.preview is not None


def test_a_stack_that_memory_cannot_hold_is_refused_before_it_is_begun(restored, stack_of, monkeypatch):
    """A system without memory ends the window with all that is in it."""
    truth, missing = stack_of(9, seed=1), holes(9, 3, 4, 5)
    monkeypatch.setattr(need, "free_memory", lambda: 700 << 20)
    with pytest.raises(need.TooLarge, match="of memory, and"):
        restored(truth, Mask(missing), samples=20_000)
    monkeypatch.undo()
    assert restored(truth, Mask(missing)).shape == truth.shape


def long_job(stack_prior, stack_of, count: int = 30) -> Job:
    truth, missing = stack_of(count, seed=8), holes(count, *range(count))
    slices = tuple(ObservedSlice(truth[i], partial(Mask, missing[i]), MM[1:]) for i in range(count))
    stack = Stack(tuple(map(float, range(count))))
    return Job(slices, stack_prior, PLAIN, samples=2, device="cpu", stack=stack)


def test_what_a_cancelled_run_had_finished_is_told(stack_prior, stack_of):
    """The slices whose windows are done, as they would have come out; none where no window is."""
    job = long_job(stack_prior, stack_of)
    whole = run(job)
    for last, count in ((0, 0), (13, 12)):

        def tell(step, last=last):
            if step.slice >= last:
                raise Cancelled("enough")

        with pytest.raises(Cancelled, match="enough") as stop:
            run(job, tell)
        assert list(stop.value.finished) == list(range(count))
        for i, found in stop.value.finished.items():
            np.testing.assert_array_equal(found.estimate, whole[i].estimate)
            np.testing.assert_array_equal(found.samples, whole[i].samples)


def test_what_a_cancelled_volume_had_finished_has_its_numbers_and_its_head(restored, stack_of):
    """Not those among the slices to be restored, nor slices without their skulls."""
    inside = np.zeros((24, 24), dtype=bool)
    inside[2:22, 2:22] = True
    brain = np.repeat(inside[None], 32, 0)
    head, missing = np.where(brain, stack_of(32, seed=8), 220.0), holes(32, *range(2, 32))
    with pytest.raises(Cancelled) as stop:
        restored(head, Mask(missing), samples=2, brain=brain, callback=lambda step: step.slice < 13)
    assert list(stop.value.finished) == list(range(2, 12))
    for i, found in stop.value.finished.items():
        np.testing.assert_array_equal(found.estimate[~missing[i]], head[i][~missing[i]])


def test_what_keeping_a_slice_raises_ends_the_run_as_itself(stack_prior, stack_of):
    """A full disk, say: catches an error in the wrapping that carries it past the work's own."""

    def keep(number, found):
        raise OutputError("the disk is full")

    with pytest.raises(OutputError, match="the disk is full"):
        run(long_job(stack_prior, stack_of, 6), keep=keep)
