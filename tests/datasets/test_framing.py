"""Framing: half a pixel here would shift every prior against every scan."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from napari_brgm.datasets.framing import Framing
from napari_brgm.errors import InputError


def torch_frame(image, size):
    tensor = torch.from_numpy(image)[None, None]
    return F.interpolate(tensor, size=(size, size), mode="bilinear", align_corners=False, antialias=True)[0, 0].numpy()


def noise(*shape):
    return np.random.default_rng(0).uniform(0, 255, shape).astype(np.float32)


def test_crop_pad_and_antialias_are_torchs():
    image = noise(208, 176)
    square = np.pad(image, ((0, 0), (8, 8)))[8:200]
    assert np.abs(Framing(128, 1.5).apply(image, (1.0, 1.0)) - torch_frame(square, 128)).max() < 1e-3
    assert np.abs(Framing(64, 1.0).apply(noise(40, 40), (1.6, 1.6)) - torch_frame(noise(40, 40), 64)).max() < 1e-3


@pytest.mark.parametrize("shape", [(30, 41), (41, 30), (32, 32), (7, 90)])
def test_equal_pixel_sizes_resample_nothing(shape):
    """An odd margin must be cut between pixels, not blur the image by half of one."""
    image = noise(*shape)
    framed = Framing(32, 0.7).apply(image, (0.7, 0.7))
    kept = [min(n, 32) for n in shape]
    assert np.count_nonzero(framed) == kept[0] * kept[1]
    assert np.isin(framed[framed > 0], image).all()


def test_own_pixels_or_shrunk_to_fit():
    small, large = noise(20, 30), noise(50, 96)
    assert np.array_equal(Framing(32).apply(small)[6:26, 1:31], small)
    square = np.pad(large, ((23, 23), (0, 0)))
    assert np.abs(Framing(32).apply(large) - torch_frame(square, 32)).max() < 1e-3
    stretched = Framing(32).apply(np.full((10, 20), 8.0), (2.0, 1.0))  # 20 mm by 20 mm
    assert stretched.sum() == pytest.approx(8 * 400)
    assert np.all(stretched[7:25, 7:25] == 8)


def test_pixels_of_two_sizes_and_a_field_of_no_whole_number():
    """A point keeps its place in mm from the image's centre."""
    image = np.zeros((101, 91), np.float32)
    image[60, 20] = 1
    framed = Framing(64, 1.3).apply(image, (0.6667, 0.7)).astype(np.float64)
    centre = (framed.sum(axis=1) @ np.arange(64) / framed.sum(), framed.sum(axis=0) @ np.arange(64) / framed.sum())
    expected = (31.5 + (60 - 50) * 0.6667 / 1.3, 31.5 + (20 - 45) * 0.7 / 1.3)
    assert centre == pytest.approx(expected, abs=0.15)  # one pixel under a triangle sampled at 1.3 mm
    assert framed.sum() == pytest.approx(0.6667 * 0.7 / 1.3**2, rel=0.2)
    ramp = np.broadcast_to(np.arange(101.0)[:, None], (101, 91))
    inner = Framing(16, 1.3).apply(ramp, (0.6667, 0.7))
    assert np.allclose(np.diff(inner, axis=0)[1:-1], 1.3 / 0.6667, atol=0.05)
    assert inner.mean() == pytest.approx(50, abs=1e-3)


def test_axes_in_front_and_refusals():
    stack = noise(2, 3, 12, 14)
    framed = Framing(8, 2.0).apply(stack, (1.0, 1.0))
    assert framed.shape == (2, 3, 8, 8)
    assert framed.dtype == np.float32
    assert np.allclose(framed[1, 2], Framing(8, 2.0).apply(stack[1, 2], (1.0, 1.0)), atol=1e-4)
    for wrong in ((4, 1.0), (128, -1.0), (128, float("nan"))):
        with pytest.raises(InputError, match="frame must be"):
            Framing(*wrong)
    with pytest.raises(InputError, match="above 0"):
        Framing(8).apply(stack, (0.0, 1.0))
    with pytest.raises(InputError, match="rows and columns"):
        Framing(8).apply(np.zeros((0, 4)))
    with pytest.raises(InputError, match="smaller than one pixel"):
        Framing(8, 0.01).apply(stack)
