"""The frame puts pixel centres where they belong, and the window gives back the units."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from napari_brgm.engine.frame import Frame, Window, foreground_box
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
    row, column = centre_of_mass(NATIVE.to_native(blob(40.3, 75.6)))
    assert row == pytest.approx((40.3 - 63.5) * 1.5 + 103.5, abs=0.05)
    assert column == pytest.approx((75.6 - 63.5) * 1.5 + 87.5, abs=0.05)


def test_a_blob_on_coarse_pixels():
    """Native pixels of 3 x 2 frame pixels: averaged over their boxes, so the sum is kept too."""
    frame = Frame((40, 60), 128, (3.0, 2.0), (20.0, 30.0), (64.0, 64.0))
    image = blob(70.2, 58.7)
    native = frame.to_native(image)
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
    row, column = centre_of_mass(fine.to_native(blob(40.3, 75.6)))
    assert coordinate(fine, 0, row) == pytest.approx(40.3, abs=0.05)
    assert coordinate(fine, 1, column) == pytest.approx(75.6, abs=0.05)


def test_identity_and_air_outside_the_frame():
    assert Frame.identity(128).is_identity and not NATIVE.is_identity
    grey = torch.full((1, 1, 128, 128), 90.0)
    assert Frame.identity(128).to_native(grey) is grey
    native = NATIVE.to_native(grey)[0, 0]
    assert native[104, 88] == pytest.approx(90, abs=1e-3)
    assert float(native[0].abs().max()) == 0  # 208 mm are more than 128 * 1.5
    with pytest.raises(InputError):
        Frame((5, 5), 8, (0.0, 1.0), (0.0, 0.0), (0.0, 0.0)).to_native(torch.zeros(1, 1, 8, 8))


def test_window_is_invertible_and_follows_the_units():
    """Scaling: the same grey levels for an MR image in any scale; CT-like images also with any offset."""
    rng = np.random.default_rng(0)
    mr = np.where(rng.random(4000) < 0.4, 0, rng.normal(400, 80, 4000).clip(0))
    window = Window.of(mr, 230.0)
    np.testing.assert_allclose(window.from_grey(window.to_grey(mr)), mr, atol=1e-9)
    np.testing.assert_allclose(Window.of(7 * mr, 230.0).to_grey(7 * mr), window.to_grey(mr), rtol=1e-9)
    assert np.percentile(window.to_grey(mr[mr > 50]), 99) == pytest.approx(230, abs=1)
    ct = mr - 1000
    np.testing.assert_allclose(
        Window.of(10 * ct + 5, 230.0).to_grey(10 * ct + 5), Window.of(ct, 230.0).to_grey(ct), atol=1e-6
    )


def test_grey_levels_are_taken_as_they_are():
    grey = np.random.default_rng(0).integers(0, 240, 1000)
    assert Window.of(grey, 230.0) == Window(0.0, 255.0)
    assert Window.of(grey / 255, 230.0) != Window(0.0, 255.0)


@pytest.mark.parametrize("outlier", [-1.0, 1.0, 1e6, -1e6])
def test_a_window_is_never_empty(outlier):
    """One odd pixel in a constant image: percentiles alone would give a window of no width."""
    values = np.zeros(5000)
    values[7] = outlier
    window = Window.of(values, 230.0)
    assert window.high > window.low and np.isfinite(window.to_grey(values)).all()


def test_foreground_box_ignores_specks_and_missing_pixels():
    image = np.zeros((100, 80))
    image[20:70, 10:60] = 500
    image[90, 70] = 5000
    everything = np.ones_like(image, dtype=bool)
    assert foreground_box(image, everything) == (20, 69, 10, 59)
    image[0:15] = np.nan
    measured = np.isfinite(image)
    assert foreground_box(image, measured) == (20, 69, 10, 59)


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
    native = frame.to_native(torch.from_numpy(x)[None, None])
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
        torch.testing.assert_close(bent.to_native(smooth), straight.to_native(smooth), atol=0.01, rtol=0)
        assert (bent.covered == straight.covered).mean() > 0.99
        assert not bent.is_identity and bent.describe()["rotation"] == 1e-7


@pytest.mark.parametrize("factor", [(2.0, 2.0), (4.0, 1.0), (1.5, 3.0)])
def test_a_turned_refined_grid_covers_the_same_rectangle(factor):
    frame = turned((1.2, 0.9), 20.0)
    fine = frame.refined((round(150 * factor[0]), round(170 * factor[1])), factor)
    for corner in ((-0.5, -0.5), (149.5, -0.5), (-0.5, 169.5), (149.5, 169.5), (60.0, 17.0)):
        inside = [(c + 0.5) * f - 0.5 for c, f in zip(corner, factor, strict=True)]
        np.testing.assert_allclose(fine.into_frame(*inside), frame.into_frame(*corner), atol=1e-9)
        np.testing.assert_allclose(frame.out_of_frame(*frame.into_frame(*corner)), corner, atol=1e-9)


def test_a_turned_frame_is_linear_and_batched():
    """<A x, y> = <x, A' y> with A' of autograd, image by image and channel by channel; 0 (air) outside."""
    frame = turned((1.4, 0.8), 17.0)
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(3, 2, 128, 128, generator=generator, requires_grad=True)
    y = torch.randn(3, 2, 150, 170, generator=generator)
    (back,) = torch.autograd.grad(frame.to_native(x), x, y)
    x = x.detach()
    assert float((frame.to_native(x) * y).sum()) == pytest.approx(float((x * back).sum()), rel=1e-3)
    one = frame.to_native(x[1:2, 1:2])
    torch.testing.assert_close(frame.to_native(x)[1:2, 1:2], one)
    grey = frame.to_native(torch.full((1, 1, 128, 128), 90.0))[0, 0]
    assert float(grey[70, 88]) == pytest.approx(90, abs=1e-3) and float(grey[0, 0]) == 0
    assert frame.covered[70, 88] and not frame.covered[0, 0]
    with pytest.raises(InputError):
        Frame((5, 5), 8, (0.0, 1.0), (0.0, 0.0), (0.0, 0.0), 5.0).to_native(torch.zeros(1, 1, 8, 8))
