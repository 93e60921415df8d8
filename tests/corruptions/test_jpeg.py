"""Jpeg: the noise it is taken for, and what really goes through a JPEG file."""

from __future__ import annotations

import numpy as np
import pytest

from napari_brgm.corruptions import Compose, Downsample, Identity, Jpeg, Mask
from napari_brgm.errors import InputError


@pytest.fixture(scope="module")
def image(smooth_images) -> np.ndarray:
    """(64, 64) grey levels with edges and a little noise."""
    grey = (smooth_images(1, 64, seed=5)[0, 0].double().numpy() + 1) * 127.5
    return np.clip(grey + 2 * np.random.default_rng(0).normal(size=grey.shape), 0, 255)


def error(a: np.ndarray, b: np.ndarray) -> float:
    return float(np.sqrt(np.square(a - b).mean()))


def test_the_steps_are_those_that_pillow_writes(image):
    """Catches a wrong table or scaling rule."""
    import io

    from PIL import Image

    for quality in (1, 10, 49, 50, 75, 100):
        file = io.BytesIO()
        Image.fromarray(image.astype(np.uint8)).save(file, "JPEG", quality=quality)
        with Image.open(file) as read:
            written = read.quantization[0]  # row by row in current versions of Pillow
        assert sorted(written) == sorted(Jpeg(quality).steps.tolist())


@pytest.mark.parametrize("quality", [5, 20, 50, 80, 95])
def test_the_error_that_is_found_in_the_compressed_image(image, quality):
    f = Jpeg(quality)
    compressed = f.compress(image)
    true = error(compressed, image)
    assert 0.6 * true < f.noise_in(compressed) < 1.4 * true
    assert f.noise_in(compressed[4:, 4:]) > 0.6 * true  # a crop whose blocks one of the shifts meets
    assert f.noise_sigma < f.uniform_sigma


def test_better_quality_less_noise():
    levels = [Jpeg(quality).noise_sigma for quality in range(1, 101)]
    assert all(np.diff(levels) < 0)


def test_the_window_of_the_file(image):
    """Units are kept: catches a window that is not undone."""
    compressed = Jpeg(90).compress(image * 4 - 300, -300, 720)
    np.testing.assert_allclose((compressed + 300) / 4, Jpeg(90).compress(image), atol=1e-3)
    assert Jpeg(90).compress(image, 50, 100).max() < 110


def test_what_is_exact():
    mask = Mask(np.eye(8, dtype=bool))
    assert not Jpeg(10).exact and not Identity().exact and Downsample(2).exact
    assert Compose(mask, Downsample(2)).exact and not Compose(mask, Jpeg(10)).exact
    assert Compose(mask, Jpeg(10)).noise_in(np.eye(16) * 200) == Jpeg(10).noise_in(np.eye(16) * 200) > 0
    assert Compose(mask, Identity()).noise_in(np.eye(8)) is None


@pytest.mark.parametrize("quality", [0, 101, -3, 10.5, True, "10", None])
def test_qualities_that_there_are_not(quality):
    with pytest.raises(InputError, match="whole number from 1 to 100"):
        Jpeg(quality)


@pytest.mark.parametrize(
    ("shape", "low", "high", "says"),
    [((4, 4, 3), 0, 255, "one plane"), ((0, 4), 0, 255, "one plane"), ((8, 8), 3, 3, "window")],
)
def test_what_cannot_be_compressed(shape, low, high, says):
    with pytest.raises(InputError, match=says):
        Jpeg(10).compress(np.ones(shape), low, high)
    with pytest.raises(InputError, match="finite"):
        Jpeg(10).compress(np.full((8, 8), np.nan))
