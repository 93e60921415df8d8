"""Windows round holes against kriging of the whole frame, on every kind of grid that scans have."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from napari_brgm.corruptions import Frame, Identity, Mask
from napari_brgm.corruptions.axes import Axes, PartialBlocks, block_means
from napari_brgm.inference import complete, residual
from napari_brgm.inference.cutout import cutouts
from napari_brgm.likelihood import Likelihood, to_grey
from napari_brgm.observation import Observation, StackObservation
from napari_brgm.priors.residual_field import ResidualField
from napari_brgm.priors.stack_field import StackField
from napari_brgm.priors.through_plane import FREQUENCIES

SIDE, NOISE = 96, 2.0
GRIDS = {
    "own": None,
    "own, said": Frame.identity(SIDE),
    "moved": Frame((80, 90), SIDE, (1.05, 1.05), (39.5, 44.5), (47.2, 48.6)),
    "finer, turned": Frame((140, 150), SIDE, (0.6, 0.6), (69.5, 74.5), (47.5, 47.5), 8.0),
    "coarser, turned": Frame((60, 60), SIDE, (1.5, 1.5), (29.5, 29.5), (47.5, 47.5), -5.0),
}


@pytest.fixture(autouse=True)
def _enough_steps(monkeypatch):
    """As many as such a rough field takes on finer grids with so little noise: 60 leave a grey level there."""
    monkeypatch.setattr(residual, "_ITERATIONS", 600)


@pytest.fixture(scope="module")
def field() -> ResidualField:
    lag = torch.fft.fftfreq(SIDE) * SIDE
    distance = (lag[:, None].square() + lag[None].square()).sqrt()
    correlation = torch.exp(-distance / 1.5 - (distance / 12).square())
    return ResidualField(10 + 15 * torch.rand(SIDE, SIDE, generator=torch.Generator().manual_seed(0)), correlation)


def observed(field: ResidualField, frame: Frame | Axes | None, missing: np.ndarray, share: np.ndarray | None = None):
    hidden = torch.from_numpy(missing)
    observation = Observation(
        Mask(hidden) if share is None else Identity(),
        (~hidden).float()[None, None],
        10.0,
        None if share is None else torch.from_numpy(share).float()[None, None],
        frame,
    )
    truth = 127.5 + field.sample(1, torch.Generator().manual_seed(5))
    y = observation.A(truth)
    y = y + NOISE * torch.randn(y.shape, generator=torch.Generator().manual_seed(6)) * observation.measured
    return Likelihood(observation, y)


def largest_difference(field, likelihood, within, where) -> tuple[float, float]:
    """Between windows and the whole frame, root mean square and greatest, of draws in grey levels."""
    images = torch.zeros(2, 1, SIDE, SIDE)
    found = []
    for some in (within, ()):
        draws = complete(images, field, likelihood, NOISE, torch.Generator().manual_seed(1), within=some)
        found.append(to_grey(draws)[..., where])
    assert found[1].std() > 5
    apart = found[0] - found[1]
    return float(apart.square().mean().sqrt()), float(apart.abs().max())


@pytest.mark.parametrize("kind", GRIDS)
def test_draws_are_those_of_the_whole_frame(field, kind):
    """Catches half a pixel lost in cutting a frame, other random numbers, and a window that ends at the hole."""
    frame = GRIDS[kind]
    shape = (SIDE, SIDE) if frame is None else frame.shape
    pixel = (1.0, 1.0) if frame is None else frame.ratio
    missing = np.zeros(shape, dtype=bool)
    at = [round(n * 0.55) for n in shape]
    size = round(16 / pixel[0])
    missing[at[0] : at[0] + size, at[1] : at[1] + size] = True
    within = cutouts(missing, frame, pixel, SIDE, 12)
    assert len(within) == 1
    assert within[0].side < 0.7 * SIDE
    likelihood = observed(field, frame, missing)
    hidden = (Observation(Identity(), torch.ones(1, 1, *shape), 1.0, None, frame).returned(
        torch.from_numpy(missing).float()[None, None]) > 0.3)[0, 0]  # fmt: skip
    root, most = largest_difference(field, likelihood, within, hidden)
    assert root < 0.15
    assert most < 1.0
    narrow = cutouts(missing, frame, pixel, SIDE, 1)
    assert largest_difference(field, likelihood, narrow, hidden)[0] > 2 * root, "the margin does nothing"


def test_slices_of_a_stack_share_a_window(field):
    """Catches slices that are mixed otherwise in a window, or fields of the wrong side of it."""
    turned = GRIDS["finer, turned"]
    places = torch.arange(3, dtype=torch.float64)
    between = torch.exp(-(places[:, None] - places).abs() / 2).expand(len(FREQUENCIES), -1, -1)
    stack = StackField(field, between)
    missing = np.zeros((3, *turned.shape), dtype=bool)
    missing[0, 70:95, 80:100] = missing[2, 75:100, 85:110] = True
    frames = [turned, turned, GRIDS["finer, turned"].cut((0, 0), turned.shape)]
    share = np.ones(turned.shape, np.float32)
    each = [observed(field, frame, one, share).observation for frame, one in zip(frames, missing, strict=True)]
    observation = StackObservation(tuple(each))
    truth = 127.5 + stack.sample(1, torch.Generator().manual_seed(5))
    y = observation.A(truth)
    noisy = y + NOISE * torch.randn(y.shape, generator=torch.Generator().manual_seed(6)) * observation.measured
    within = cutouts(missing.any(axis=0), turned, turned.ratio, SIDE, 12)
    assert within[0].side < 0.7 * SIDE
    found = [
        to_grey(complete(torch.zeros(2, 3, SIDE, SIDE), stack, Likelihood(observation, noisy), 6.0,
                         torch.Generator().manual_seed(1), within=some))
        for some in (within, ())
    ]  # fmt: skip
    for i in (0, 2):
        hidden = turned.A_adjoint(torch.from_numpy(missing[i]).float()[None, None])[0, 0] > 0.3
        apart = (found[0] - found[1])[:, i, hidden]
        assert found[1][:, i, hidden].std() > 5
        assert float(apart.square().mean().sqrt()) < 0.2


def test_blocks_on_axes_are_cut(field):
    """As of radiographs: pairs of matrices, blocks that are partly hidden with means of their own."""
    native = Frame((384, 384), SIDE, (0.25, 0.25), (191.5, 191.5), (47.5, 47.5))
    missing = np.zeros((384, 384), dtype=bool)
    missing[201:269, 93:170] = True
    rows, columns = (block_means(matrix.double().numpy(), 2) for matrix in native.matrices)
    axes = Axes(rows, columns, PartialBlocks.of(native, ~missing, 2, 2))
    share = (~missing).reshape(192, 2, 192, 2).mean(axis=(1, 3))
    within = cutouts(share < 1, axes, (0.5, 0.5), SIDE, 12)
    assert len(within) == 1
    likelihood = observed(field, axes, share == 0, share)
    hidden = torch.zeros(SIDE, SIDE, dtype=torch.bool)
    hidden[51:67, 24:42] = True
    root, most = largest_difference(field, likelihood, within, hidden)
    assert root < 0.15
    assert most < 1.0


def test_far_holes_have_windows_of_their_own_and_near_ones_share_one():
    missing = np.zeros((128, 128), dtype=bool)
    missing[10:20, 10:20] = missing[100:110, 100:112] = True
    found = cutouts(missing, None, (1.0, 1.0), 128, 12)
    assert sorted((one.corner, one.side) for one in found) == [((0, 0), 32), ((88, 88), 36)]
    missing[30:36, 30:36] = True
    found = cutouts(missing, None, (1.0, 1.0), 128, 12)
    assert sorted((one.corner, one.side) for one in found) == [((0, 0), 48), ((88, 88), 36)]


@pytest.mark.parametrize("hole", [(slice(8, 120), slice(40, 60)), (slice(0, 128, 16), slice(0, 128, 16))])
def test_large_or_scattered_holes_are_solved_for_in_the_whole(hole):
    missing = np.zeros((128, 128), dtype=bool)
    missing[hole] = True
    assert cutouts(missing, None, (1.0, 1.0), 128, 12) == ()


def test_a_hole_beyond_the_frame_is_no_trouble():
    frame = Frame((200, 200), 64, (1.0, 1.0), (99.5, 99.5), (31.5, 31.5))
    missing = np.zeros((200, 200), dtype=bool)
    missing[2:10, 2:10] = True
    (only,) = cutouts(missing, frame, (1.0, 1.0), 64, 12)
    assert min(only.corner) >= 0
    assert max(only.corner) + only.side <= 64
