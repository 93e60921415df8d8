"""Settings are frozen, checked, and the presets say what was published."""

from __future__ import annotations

import dataclasses
import json

import pytest

from napari_brgm.errors import InputError
from napari_brgm.settings import PRESETS, QUALITIES, InferenceSettings, preset, settings_for


def test_presets_hold_the_published_constants():
    paper, reference = preset("paper"), preset("reference")
    assert (paper.steps, paper.learning_rate, paper.inverse_gamma) == (500, 0.001, (0.1, 0.95))
    assert (paper.lambda_colinear, paper.lambda_pixel, paper.lambda_perceptual) == (0.03, 1e-5, 0.01)
    assert paper.objective == "posterior"
    assert (reference.steps, reference.learning_rate, reference.objective) == (501, 0.1, "released")
    assert (reference.lambda_w, reference.lambda_colinear) == (100, 0.1)
    assert (reference.lambda_pixel, reference.lambda_perceptual) == (0.001, 1e7)
    for published in (paper, reference):
        assert published.latent_space == "w+" and published.noise == "const" and published.start == "mean"
        assert published.prior_density == "diagonal" and published.vi_samples_per_step == 6
        assert not published.residual_field and not published.data_consistency


def test_names_match_and_default_is_the_default():
    assert all(name == settings.name for name, settings in PRESETS.items())
    assert preset("default").name == "default" and InferenceSettings().optimiser == "adam"
    assert set(QUALITIES) == {"preview", "standard", "careful"}
    with pytest.raises(InputError, match=f"choose one of {', '.join(sorted(PRESETS))}"):
        preset("best")
    assert {"box", "manifold", "mixture", "paper", "reference", "unaided", "untrained"} < set(PRESETS)


def test_frozen_and_changed_by_copy():
    default = preset("default")
    with pytest.raises(dataclasses.FrozenInstanceError):
        default.steps = 3
    before = default.steps
    assert default.but(steps=before + 1).steps == before + 1 and default.steps == before


@pytest.mark.parametrize("name", PRESETS)
def test_plain_values_survive_json(name):
    """Provenance is saved as JSON: a tuple would come back as a list, and a loaded record would differ."""
    plain = preset(name).as_dict()
    assert json.loads(json.dumps(plain)) == plain


@pytest.mark.parametrize(
    "wrong",
    [
        {"steps": 0}, {"learning_rate": 0.0}, {"learning_rate": float("nan")}, {"lambda_pixel": -1.0},
        {"lambda_pixel": float("nan")}, {"vi_samples_per_step": 0}, {"preview_every": 0}, {"members": 0},
        {"window": 0}, {"window": 1, "patience": 3}, {"prior_density": "none"}, {"start": "best"},
        {"lambda_w": -1.0}, {"lambda_perceptual": float("nan")}, {"lambda_colinear": float("inf")},
    ],
)  # fmt: skip
def test_values_that_cannot_be_used_are_refused(wrong):
    with pytest.raises(InputError, match=next(iter(wrong))):
        preset("default").but(**wrong)


def test_presets_of_priors_without_a_linear_part():
    """Each family has its own; those without a density are ensembles from drawn starts."""
    manifold, box, untrained, unaided = (preset(n) for n in ("manifold", "box", "untrained", "unaided"))
    assert manifold.prior_density == unaided.prior_density == "gaussian"
    assert manifold.start == unaided.start == "linear"  # of a linearisation, or the mean where there is none
    for flat in (box, untrained):
        assert (flat.prior_density, flat.start) == ("flat", "draw") and flat.members > 1
    assert untrained.patience is not None and not untrained.fit_pose and not untrained.residual_field
    assert box.patience is None


@pytest.mark.parametrize("name", ["default", "manifold", "untrained"])
def test_quality_changes_the_steps_alone(name):
    found = {quality: settings_for(name, quality) for quality in QUALITIES}
    assert found["standard"] == preset(name)
    assert found["preview"].steps == round(preset(name).steps / 3) and found["careful"].steps == 4 * preset(name).steps
    own = preset(name)
    assert all(settings.but(steps=own.steps, vi_steps=own.vi_steps) == own for settings in found.values())
    if own.vi_steps is not None:
        assert found["careful"].vi_steps == 4 * own.vi_steps
    with pytest.raises(InputError, match="patience"):
        preset(name).but(patience=0)
