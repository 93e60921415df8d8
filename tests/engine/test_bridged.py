"""Hidden slices as a network reads them: from which slices, how much it says, and where it has no say."""

from __future__ import annotations

from functools import partial

import numpy as np
import pytest
import torch

from napari_brgm.corruptions import Blur, Compose, Identity, Mask
from napari_brgm.engine import bridged
from napari_brgm.engine.alignment import Alignment
from napari_brgm.engine.job import Job, ObservedSlice, Stack
from napari_brgm.engine.run import run
from napari_brgm.engine.volume import restore_volume
from napari_brgm.priors.bridge import Bridge, Gap
from napari_brgm.settings import preset

PLAIN = preset("default").but(fit_pose=False, steps=2)
HERE = Alignment(0, 0, 1, 0, 0, 255)  # of the prior's own draws
HOLE = np.zeros((24, 24), bool)
HOLE[6:15, 7:18] = True


@pytest.fixture(scope="module")
def net() -> Bridge:
    """Nothing that was learnt: loud enough to be seen."""
    torch.manual_seed(0)
    found = Bridge(8, 8, 1)
    with torch.no_grad():
        found.leave.weight.mul_(20)
    return found.eval().requires_grad_(False)


@pytest.fixture(scope="module")
def both(stack_prior, with_parts, net):
    """Restores the same stack by the model alone, and with the network."""
    shared = {"settings": PLAIN, "samples": 4, "alignment": HERE}
    return [
        partial(restore_volume, prior=prior, **shared)
        for prior in (stack_prior, with_parts(stack_prior, bridge=net))
    ]  # fmt: skip


def hidden_in(count: int, *slices: int) -> np.ndarray:
    missing = np.zeros((count, 24, 24), bool)
    missing[list(slices)] = HOLE
    return missing


def read(net: Bridge, truth: np.ndarray, missing: np.ndarray, at: int, mm: float) -> tuple[np.ndarray, float, float]:
    """What the network says of a slice whose neighbours hide the same or nothing; the model's share, and the spread."""
    clear = np.flatnonzero(~missing.any(axis=(1, 2)))
    before, after = clear[clear < at][::-1][:2], clear[clear > at][:2]
    x = torch.from_numpy(truth)
    sides = [x[[int(one[0]), int(one[-1])]] for one in (before, after)]
    far = [abs(float(one[0] - at)) * mm for one in (before, after)]
    hidden = torch.from_numpy(missing[at])
    image = net.slice_between(Gap(sides[0], torch.where(hidden, 0.0, x[at]), sides[1], hidden, *far))
    share, spread = (float(np.interp(sum(far), bridged._APART, by)) for by in (bridged._SHARES, bridged._SPREADS))
    return image.numpy(), share, spread


@pytest.mark.parametrize(
    ("count", "hidden", "mm"),
    [(7, (3,), 1.0), (9, (3, 4, 5), 2.0), (9, (4,), 7.0), (40, (8, 15, 16, 17, 18, 19, 31), 1.0), (3, (1,), 6.0)],
)
def test_slices_are_read_from_the_nearest_that_show_them(both, net, stack_of, count, hidden, mm):
    """40 go in several windows, which must not be seen."""
    truth, missing = stack_of(count, seed=11, mm=mm), hidden_in(count, *hidden)
    seen = np.where(missing, 0, truth).astype(np.float32)
    alone, with_it = (restore(seen, Mask(missing), spacing=(mm, 1.5, 1.5)) for restore in both)
    np.testing.assert_array_equal(with_it.estimate[~missing], seen[~missing])
    for at in hidden:
        image, share, spread = read(net, truth, missing, at, mm)
        for name in ("estimate", "mean"):
            wanted = share * getattr(alone, name)[at] + (1 - share) * image
            np.testing.assert_allclose(getattr(with_it, name)[at][HOLE], wanted[HOLE], atol=0.5, err_msg=name)
        assert np.abs(image - alone.estimate[at])[HOLE].max() > 5
        np.testing.assert_allclose(with_it.std[at][HOLE], spread * alone.std[at][HOLE], rtol=0.02, atol=0.05)
    told = told_of(with_it, hidden[0])
    first = next(at for at in range(hidden[0], -1, -1) if at not in hidden)
    assert told["before_mm"] == pytest.approx((hidden[0] - first) * mm) and 0 < told["share"] <= 0.9


def told_of(found, slice_: int) -> dict:
    """The record of a restored slice."""
    own = next(one for one in found.provenance["slices"] if one["index"] == slice_)
    return (found.provenance | own)["stack"]["bridge"]


def same(both, truth, missing, mm=1.0, **more) -> bool:
    seen = np.where(missing, 0, truth).astype(np.float32)
    alone, with_it = (restore(seen, Mask(missing), spacing=(mm, 1.5, 1.5), **more) for restore in both)
    return bool(np.abs(alone.estimate - with_it.estimate).max() < 1e-3)


def test_where_nothing_was_measured_on_one_side_or_too_far_away_the_model_speaks_alone(both, stack_of):
    truth = stack_of(6, seed=12)
    assert same(both, truth, hidden_in(6, 0))
    assert same(both, truth, hidden_in(6, 4, 5))
    assert not same(both, truth, hidden_in(6, 4))
    assert same(both, stack_of(3, seed=12, mm=17.0), hidden_in(3, 1), 17.0)


def test_neighbours_with_holes_elsewhere_are_read_and_those_with_the_same_are_not(both, net, stack_of):
    truth, missing = stack_of(8, seed=13), hidden_in(8, 3, 4)
    missing[2, 18:22, 2:6] = True  # beside the hole
    seen = np.where(missing, 0, truth).astype(np.float32)
    alone, with_it = (restore(seen, Mask(missing), spacing=(1.0, 1.5, 1.5)) for restore in both)
    told = told_of(with_it, 3)
    assert (told["before_mm"], told["after_mm"]) == (1.0, 2.0)
    told = told_of(with_it, 2)
    assert (told["before_mm"], told["after_mm"]) == (1.0, 1.0)  # slice 3 shows what slice 2 hides
    assert not np.allclose(alone.estimate[3], with_it.estimate[3], atol=1)


def test_a_slice_of_which_nothing_was_measured_is_read(both, net, stack_of):
    truth, missing = stack_of(7, seed=15), np.zeros((7, 24, 24), bool)
    missing[3] = True
    seen = np.where(missing, 0, truth).astype(np.float32)
    alone, with_it = (restore(seen, Mask(missing), spacing=(1.0, 1.5, 1.5)) for restore in both)
    image, share, _ = read(net, truth, missing, 3, 1.0)
    np.testing.assert_allclose(with_it.estimate[3], share * alone.estimate[3] + (1 - share) * image, atol=0.5)


def test_blurred_slices_with_holes_are_left_to_the_model(both, stack_of):
    truth, missing = stack_of(6, seed=16), hidden_in(6, 3)
    for whole, holed in ((Identity(), Mask(HOLE)), (Blur(1.0), Compose(Blur(1.0), Mask(HOLE)))):
        slices = tuple(
            ObservedSlice(np.where(hole, 0, one).astype(np.float32), partial(_same, f), (1.5, 1.5))
            for one, hole, f in zip(truth, missing, [whole] * 3 + [holed] + [whole] * 2, strict=True)
        )
        found = [
            run(Job(slices, restore.keywords["prior"], PLAIN, "map", 4, 0, "cpu", HERE, Stack(tuple(range(6)))))
            for restore in both
        ]
        first, second = (one[3].estimate for one in found)
        assert np.allclose(first, second, atol=1e-3) == isinstance(whole, Blur)


def _same(f):
    return f


def test_another_scan_of_the_patient_is_heard_alone(both, stack_of):
    truth = stack_of(6, seed=14)
    second = truth + np.random.default_rng(0).normal(0, 2, truth.shape).astype(np.float32)
    assert same(both, truth, hidden_in(6, 3), second=second)


def test_of_a_hole_that_grows_each_part_is_read_from_the_slices_next_to_it(both, net, stack_of):
    """Catches a rim that the next slices show, read like the middle from those beyond the hole."""
    truth, missing = stack_of(9, seed=17), hidden_in(9, 3, 4, 5)
    inner = np.zeros_like(HOLE)
    inner[8:12, 10:15] = True
    missing[[3, 5]] = inner
    seen = np.where(missing, 0, truth).astype(np.float32)
    alone, with_it = (restore(seen, Mask(missing), spacing=(1.0, 1.5, 1.5)) for restore in both)
    rim, x = HOLE & ~inner, torch.from_numpy(truth)
    own = torch.where(torch.from_numpy(HOLE), 0.0, x[4])
    best = torch.from_numpy(alone.estimate)
    before, after = (
        torch.stack([torch.where(torch.from_numpy(missing[a]), best[a], x[a]), x[b]]) for a, b in ((3, 2), (5, 6))
    )
    near = net.slice_between(Gap(before, own, after, torch.from_numpy(HOLE), 1.0, 1.0)).numpy()
    far = net.slice_between(Gap(x[[2, 1]], own, x[[6, 7]], torch.from_numpy(HOLE), 2.0, 2.0)).numpy()
    for pixels, image, gap in ((rim, near, 2.0), (inner, far, 4.0)):
        share, spread = (float(np.interp(gap, bridged._APART, by)) for by in (bridged._SHARES, bridged._SPREADS))
        wanted = share * alone.estimate[4] + (1 - share) * image
        np.testing.assert_allclose(with_it.estimate[4][pixels], wanted[pixels], atol=0.7)
        np.testing.assert_allclose(with_it.std[4][pixels], spread * alone.std[4][pixels], rtol=0.02, atol=0.05)
    assert np.abs(near - far)[HOLE].max() > 2
    told = told_of(with_it, 4)
    assert (told["before_mm"], told["after_mm"]) == (1.0, 1.0)  # of most of it


def test_what_is_hidden_in_all_slices_leaves_a_hole_beside_it_as_it_is(both, stack_of):
    """Catches a hole in one slice that the network does not read, as each neighbour hides something else as well."""
    truth, missing = stack_of(9, seed=18), hidden_in(9, 4)
    seen = np.where(missing, 0, truth).astype(np.float32)
    hole = both[1](seen, Mask(missing), spacing=(3.0, 1.5, 1.5)).estimate[4]
    missing[:, 18:22, 2:6] = True
    seen = np.where(missing, 0, truth).astype(np.float32)
    alone, with_it = (restore(seen, Mask(missing), spacing=(3.0, 1.5, 1.5)).estimate[4] for restore in both)
    assert np.abs(with_it - alone)[HOLE].max() > 5
    assert np.sqrt(np.mean(np.square(with_it - hole)[HOLE])) < 0.2 * np.sqrt(np.mean(np.square(alone - hole)[HOLE]))
    np.testing.assert_allclose(with_it[18:22, 2:6], alone[18:22, 2:6], atol=1e-3)  # the model's alone
