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
