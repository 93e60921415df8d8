"""Settings of the lcm recipe are checked, and fit their resolution."""

from __future__ import annotations

import pytest

from napari_brgm.errors import InputError
from napari_brgm.training.lcm_settings import LcmSettings, lcm_settings
from napari_brgm.training.shipped import MANIFOLDS


@pytest.mark.parametrize("resolution", [64, 128, 256, 512])
def test_each_resolution_has_its_recipe(resolution):
    assert lcm_settings(resolution).resolution == resolution
    assert LcmSettings() == lcm_settings(128)


def test_other_resolutions_are_refused():
    for resolution in (32, 100, 1024):
        with pytest.raises(InputError, match="64, 128, 256 or 512"):
            lcm_settings(resolution)


def test_shipped_recipes_fit_their_frames():
    for name, model in MANIFOLDS.items():
        assert model.settings.resolution == model.framing.resolution, name
        assert model.info.name == name and model.info.spacing_mm == model.framing.spacing_mm


def test_rates_follow_the_latents():
    assert LcmSettings().rate_of_latents == 1e-3 and LcmSettings(latents="free").rate_of_latents == 2e-2
    assert LcmSettings(latent_rate=0.5).rate_of_latents == 0.5 and LcmSettings(latents="encoder").rate_of_latents == 0


@pytest.mark.parametrize(
    ("wrong", "sentence"),
    [
        ({"latents": "other"}, "one of convolutional, free"), ({"batch": 0}, "batch must be 1"),
        ({"components": 0}, "components"), ({"every": 0}, "every"), ({"images": 0}, "images"),
        ({"latents": "vector", "latent_size": 0}, "latent_size"), ({"latent_size": 8}, "latent_size"),
        ({"latents": "free", "latent_size": 33}, "latent_size"),
        ({"trunk": (4,)}, "trunk"), ({"trunk": (4,) * 7}, "trunk"), ({"fine": (0,)}, "fine"),
        ({"learning_rate": 0.0}, "above 0"), ({"learning_rate": float("nan")}, "above 0"),
        ({"latent_rate": 0.0}, "above 0"), ({"latent_rate": float("inf")}, "above 0"), ({"latent_rate": -1.0}, "above"),
        ({"falling": 1.5}, "falling"), ({"warmup_images": -1}, "0 or more"), ({"pyramid_levels": -1}, "0 or more"),
    ],
)  # fmt: skip
def test_values_that_cannot_be_used_are_refused(wrong, sentence):
    with pytest.raises(InputError, match=sentence):
        LcmSettings(**wrong)
