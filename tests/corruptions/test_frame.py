"""The frame puts pixel centres where they belong, and has the adjoint of what it does."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from napari_brgm.corruptions import Frame
from napari_brgm.errors import InputError

# 208 x 176 pixels of 1 mm in a 128 px frame of 1.5 mm, centre on centre
NATIVE = Frame((208, 176), 128, (1 / 1.5, 1 / 1.5), (103.5, 87.5), (63.5, 63.5))


def coordinate(frame: Frame, axis: int, index: float) -> float:
    """Frame pixel of a native pixel centre."""
    return (index - frame.centre_native[axis]) * frame.ratio[axis] + frame.centre_frame[axis]


def blob(row: float, column: float, size: int = 128, width: float = 4.0) -> torch.Tensor:
    axis = torch.arange(size, dtype=torch.float64)
    r, c = torch.exp(-((axis - row) ** 2) / (2 * width**2)), torch.exp(-((axis - column) ** 2) / (2 * width**2))
    return torch.outer(r, c)[None, None]


def centre_of_mass(image: torch.Tensor) -> tuple[float, float]:
    weights = image[0, 0].double()
    rows, columns = (torch.arange(n, dtype=torch.float64) for n in weights.shape)
    return float((weights.sum(dim=1) * rows).sum() / weights.sum()), float(
        (weights.sum(dim=0) * columns).sum() / weights.sum()
    )


def test_a_rendered_blob_lands_on_its_native_pixel():
    """Catches a half-pixel shift (0.17 native pixels here) or swapped axes."""
    row, column = centre_of_mass(NATIVE.A(blob(40.3, 75.6)))
    assert row == pytest.approx((40.3 - 63.5) * 1.5 + 103.5, abs=0.05)
    assert column == pytest.approx((75.6 - 63.5) * 1.5 + 87.5, abs=0.05)


def test_a_blob_on_coarse_pixels():
    """Native pixels of 3 x 2 frame pixels: averaged over their boxes, so the sum is kept too."""
    frame = Frame((40, 60), 128, (3.0, 2.0), (20.0, 30.0), (64.0, 64.0))
    image = blob(70.2, 58.7)
    native = frame.A(image)
    row, column = centre_of_mass(native)
    assert row == pytest.approx((70.2 - 64) / 3 + 20, abs=0.05)
    assert column == pytest.approx((58.7 - 64) / 2 + 30, abs=0.05)
    assert float(native.sum() * 6) == pytest.approx(float(image.sum()), rel=1e-3)


@pytest.mark.parametrize("factor", [(2.0, 2.0), (4.0, 1.0), (1.5, 3.0)])
def test_a_refined_grid_covers_the_same_rectangle(factor):
    """Outer edges coincide: pixel i of the coarse grid is where pixels (i + 0.5) f - 0.5 of the fine one are."""
    fine = NATIVE.refined((round(208 * factor[0]), round(176 * factor[1])), factor)
    for axis in (0, 1):
        for i in (0, 17, 100, NATIVE.shape[axis] - 1):
            inside = (i + 0.5) * factor[axis] - 0.5
            assert coordinate(fine, axis, inside) == pytest.approx(coordinate(NATIVE, axis, i), abs=1e-9)
        edges = [coordinate(f, axis, -0.5) for f in (NATIVE, fine)]
        far = [coordinate(f, axis, f.shape[axis] - 0.5) for f in (NATIVE, fine)]
        assert edges[0] == pytest.approx(edges[1], abs=1e-9) and far[0] == pytest.approx(far[1], abs=1e-9)
    row, column = centre_of_mass(fine.A(blob(40.3, 75.6)))
    assert coordinate(fine, 0, row) == pytest.approx(40.3, abs=0.05)
    assert coordinate(fine, 1, column) == pytest.approx(75.6, abs=0.05)


def test_identity_and_air_outside_the_frame():
    assert Frame.identity(128).is_identity and not NATIVE.is_identity
    grey = torch.full((1, 1, 128, 128), 90.0)
    assert Frame.identity(128).A(grey) is grey
    native = NATIVE.A(grey)[0, 0]
    assert native[104, 88] == pytest.approx(90, abs=1e-3)
    assert float(native[0].abs().max()) == 0  # 208 mm are more than 128 * 1.5
    with pytest.raises(InputError):
        Frame((5, 5), 8, (0.0, 1.0), (0.0, 0.0), (0.0, 0.0)).A(torch.zeros(1, 1, 8, 8))


@pytest.mark.parametrize("ratio", [(1 / 1.5, 0.9), (1.7, 2.0)])
def test_to_the_frame_and_back(ratio):
    """Catches an inverse with swapped centres or axes: a native blob lies where it came from."""
    frame = Frame((208, 176), 128, ratio, (103.5, 80.0), (63.5, 60.0))
    there = frame.to_frame(blob(99.4, 85.2, 208)[..., :176])
    assert there.shape == (1, 1, 128, 128)
    row, column = centre_of_mass(there)
    assert row == pytest.approx(coordinate(frame, 0, 99.4), abs=0.05)
    assert column == pytest.approx(coordinate(frame, 1, 85.2), abs=0.05)
    own = torch.rand(1, 1, 16, 16)
    assert Frame.identity(16).to_frame(own) is own


def turned(ratio: tuple[float, float], rotation: float) -> Frame:
    return Frame((150, 170), 128, ratio, (70.3, 88.1), (61.0, 66.4), rotation)


def ellipse(frame: Frame, rows: np.ndarray, columns: np.ndarray) -> np.ndarray:
    """An oblong blob of the frame, 20 frame pixels off its middle, at native pixel coordinates (rows, columns).

    Written by hand, not with the frame's own map: it is turned by ``rotation`` anticlockwise as shown.
    """
    angle = np.radians(frame.rotation)
    down, right = (rows - 70.3) * frame.ratio[0], (columns - 88.1) * frame.ratio[1]
    x = right * np.cos(angle) - down * np.sin(angle)  # the scan turned back: to the right
    up = -down * np.cos(angle) - right * np.sin(angle)  # and up
    return np.exp(-((x - 12) ** 2) / (2 * 9.0**2) - ((up - 16) ** 2) / (2 * 4.5**2))


@pytest.mark.parametrize("rotation", [12.0, -35.0, 90.0])
@pytest.mark.parametrize("ratio", [(1 / 1.5, 1 / 1.5), (1.0, 1.0), (2.3, 1.7), (0.6, 3.2)])
def test_a_turned_image_lands_where_it_should(ratio, rotation):
    """Catches a rotation the other way round, about another point or with half a pixel lost.

    In native pixels, against the analytic image and its mean over each pixel's box.
    """
    frame = turned(ratio, rotation)
    axis = np.arange(128.0)
    x = np.exp(-((axis[None] - 66.4 - 12) ** 2) / (2 * 9.0**2) - ((61.0 - axis[:, None] - 16) ** 2) / (2 * 4.5**2))
    native = frame.A(torch.from_numpy(x)[None, None])
    parts = (np.arange(8) + 0.5) / 8 - 0.5
    rows, columns = ((np.arange(n)[:, None] + parts).ravel() for n in frame.shape)
    wanted = ellipse(frame, rows[:, None], columns[None]).reshape(150, 8, 170, 8).mean(axis=(1, 3))
    found = centre_of_mass(native)
    assert found == pytest.approx(centre_of_mass(torch.from_numpy(wanted)[None, None]), abs=0.05)
    assert np.abs(native[0, 0].numpy() - wanted).max() < 0.03
    back = frame.to_frame(native)
    assert centre_of_mass(back) == pytest.approx((61.0 - 16, 66.4 + 12), abs=0.05)
    assert np.abs(back[0, 0].numpy() - x).max() < (0.06 if max(ratio) <= 1 else 0.5)


def test_a_small_turn_is_nearly_none():
    """The two ways of resampling agree, at the borders too: catches another edge of the frame or of its pixels."""
    for ratio in ((0.7, 0.7), (2.0, 3.0)):
        straight = Frame((80, 60), 64, ratio, (40.0, 30.0), (31.0, 33.0))
        bent = Frame((80, 60), 64, ratio, (40.0, 30.0), (31.0, 33.0), 1e-7)
        smooth = blob(30.0, 33.0, 64, 12.0).float()
        torch.testing.assert_close(bent.A(smooth), straight.A(smooth), atol=0.01, rtol=0)
        every = np.ones(bent.shape, dtype=bool)
        assert (bent.covers(every) == straight.covers(every)).mean() > 0.99
        assert not bent.is_identity and bent.describe()["rotation"] == 1e-7


@pytest.mark.parametrize("factor", [(2.0, 2.0), (4.0, 1.0), (1.5, 3.0)])
def test_a_turned_refined_grid_covers_the_same_rectangle(factor):
    frame = turned((1.2, 0.9), 20.0)
    fine = frame.refined((round(150 * factor[0]), round(170 * factor[1])), factor)
    for corner in ((-0.5, -0.5), (149.5, -0.5), (-0.5, 169.5), (149.5, 169.5), (60.0, 17.0)):
        inside = [(c + 0.5) * f - 0.5 for c, f in zip(corner, factor, strict=True)]
        np.testing.assert_allclose(fine.into_frame(*inside), frame.into_frame(*corner), atol=1e-9)
        np.testing.assert_allclose(frame.out_of_frame(*frame.into_frame(*corner)), corner, atol=1e-9)


def test_a_turned_frame_is_batched():
    """Image by image and channel by channel; 0 (air) outside."""
    frame = turned((1.4, 0.8), 17.0)
    x = torch.randn(3, 2, 128, 128, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(frame.A(x)[1:2, 1:2], frame.A(x[1:2, 1:2]))
    grey = frame.A(torch.full((1, 1, 128, 128), 90.0))[0, 0]
    assert float(grey[70, 88]) == pytest.approx(90, abs=1e-3) and float(grey[0, 0]) == 0
    covered = frame.covers(np.ones(frame.shape, dtype=bool)).reshape(frame.shape)
    assert covered[70, 88] and not covered[0, 0]
    with pytest.raises(InputError):
        Frame((5, 5), 8, (0.0, 1.0), (0.0, 0.0), (0.0, 0.0), 5.0).A(torch.zeros(1, 1, 8, 8))


FRAMES = {
    "identity": Frame.identity(48),
    "its own pixels, moved": Frame((48, 48), 48, (1.0, 1.0), (23.5, 23.5), (20.0, 26.0)),
    "finer": Frame((70, 60), 48, (0.7, 0.8), (33.2, 30.1), (24.1, 22.0)),
    "coarser": Frame((17, 23), 48, (2.6, 3.0), (8.2, 10.9), (24.0, 22.5)),
    "finer rows, coarser columns": Frame((70, 23), 48, (0.7, 2.5), (33.0, 11.0), (24.0, 23.0)),
    "turned": Frame((50, 45), 48, (1.0, 1.0), (25.0, 22.0), (23.5, 23.5), 30.0),
    "turned, finer": Frame((70, 60), 48, (0.7, 0.8), (33.2, 30.1), (24.1, 22.0), -11.0),
    "turned, coarser": Frame((17, 23), 48, (2.6, 3.2), (8.2, 10.9), (24.0, 22.5), 200.0),
}


@pytest.mark.parametrize("name", FRAMES)
def test_adjoint(name):
    """<A x, y> = <x, A' y>, and A' is the gradient that autograd finds; image by image and channel by channel."""
    frame = FRAMES[name]
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(3, 2, 48, 48, generator=generator, dtype=torch.float64).requires_grad_(True)
    y = torch.randn(3, 2, *frame.shape, generator=generator, dtype=torch.float64)
    ax, back = frame.A(x), frame.A_adjoint(y)
    assert ax.shape == y.shape and back.shape == x.shape and ax.dtype == back.dtype == torch.float64
    for b in range(3):
        for c in range(2):
            one, other = (float((p[b, c] * q[b, c]).detach().sum()) for p, q in ((ax, y), (x, back)))
            assert one == pytest.approx(other, rel=1e-10, abs=1e-10)
    (gradient,) = torch.autograd.grad(ax, x, y)
    torch.testing.assert_close(gradient, back)
    with torch.no_grad():
        torch.testing.assert_close(frame.A_adjoint(y), back)


@pytest.mark.parametrize("rotation", [0.0, 17.0])
def test_a_part_of_a_grid_has_a_frame_of_its_own(rotation):
    """Catches a part that is placed by its own middle."""
    whole = Frame((40, 50), 16, (0.4, 0.3), (19.5, 24.5), (7.0, 8.0), rotation)
    x = torch.rand(1, 1, 16, 16, generator=torch.Generator().manual_seed(0))
    part = whole.cut((7, 11), (20, 30)).at(x, np.ones((20, 30), dtype=bool)).reshape(20, 30)
    torch.testing.assert_close(part, whole.A(x)[0, 0, 7:27, 11:41], atol=1e-5, rtol=1e-5)
