"""The Fréchet figure must be small for more of the same, and grow with blur, grain, contrast and displacement."""

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter

from napari_brgm.evaluation.frechet import feature_names, features, frechet_distance


@pytest.fixture(scope="module")
def crowds(smooth_images):
    return tuple(127.5 * (smooth_images(150, 32, seed)[:, 0].numpy() + 1) for seed in (1, 2))


def test_the_same_images_are_at_zero_and_more_of_them_near(crowds):
    one, other = crowds
    assert frechet_distance(one, one) == pytest.approx(0, abs=1e-6)
    near = frechet_distance(other, one)
    assert 0 < near < 3
    rng = np.random.default_rng(0)
    worse = {
        "blur": gaussian_filter(other, (0, 2, 2)),
        "grain": other + rng.normal(0, 12, other.shape),
        "contrast": 60 + 0.6 * other,
        "displaced": np.roll(other, 5, axis=2),
        "all alike": np.repeat(other[:1], 150, axis=0),
    }
    for name, images in worse.items():
        assert frechet_distance(images, one) > 3 * near, name


def test_features_have_names():
    assert features(np.zeros((2, 128, 128))).shape == (2, len(feature_names(128)))
    assert np.isfinite(features(np.zeros((2, 32, 32)))).all()
