"""Draws and interpolations: seeded, in the right place and units, and called synthetic."""

from __future__ import annotations

import copy
import json
from dataclasses import replace

import numpy as np
import pytest
import torch

from napari_brgm.engine.explore import draw, drawn_record, interpolate
from napari_brgm.errors import InputError
from napari_brgm.inference.inversion import invert
from napari_brgm.likelihood import to_grey
from napari_brgm.priors.residual_field import ResidualField


def grey(prior, n, seed) -> np.ndarray:
    return ((prior.sample(n, seed=seed)[:, 0].double().numpy() + 1) * 127.5).clip(0, 255)


def test_a_seed_repeats_the_draws(linear_prior):
    one, same, other = (draw(linear_prior, 3, seed, device="cpu") for seed in (1, 1, 2))
    assert one.shape == (3, 24, 24) and one.dtype == np.float32
    np.testing.assert_array_equal(one, same)
    assert (one != other).any() and one.min() >= 0 and one.max() <= 255 and one.max() > 100
    np.testing.assert_allclose(one, grey(linear_prior, 3, 1), atol=1e-3)
    record = drawn_record(linear_prior, 3, 1, device="cpu")
    assert "synthetic" in json.dumps(record) and record["seed"] == 1 and record["prior"]["name"] == "toy-24"


def test_the_residual_field_is_added_when_asked(linear_prior, with_parts):
    with pytest.raises(InputError, match="toy-24 has no residual field"):
        draw(linear_prior, 1, residual=True)
    correlation = torch.zeros(24, 24)
    correlation[0, 0] = 1
    prior = with_parts(linear_prior, residual=ResidualField(torch.full((24, 24), 6.0), correlation))
    plain, rough = (draw(prior, 8, 1, residual=asked, device="cpu") for asked in (False, True))
    inside = (plain > 40) & (plain < 215)
    assert 5 < (rough - plain)[inside].std() < 7


def test_draws_are_the_way_up_that_radiologists_look_at(linear_prior, with_parts):
    """The residual field is that of the prior's own frame; catches a turn of one and not of the other."""
    variance = torch.linspace(1, 400, 24)[:, None].expand(24, 24).contiguous()
    correlation = torch.zeros(24, 24)
    correlation[0, 0] = 1
    prior = with_parts(linear_prior, residual=ResidualField(variance, correlation))
    turned = copy.copy(prior)
    turned.info = replace(prior.info, rotation=180.0)
    for residual in (False, True):
        own, shown = (draw(one, 2, 1, residual=residual, device="cpu") for one in (prior, turned))
        np.testing.assert_array_equal(shown, own[:, ::-1, ::-1])
        assert np.abs(shown - own).max() > 20


def test_colour_is_drawn_last(random_stylegan2, parity):
    from napari_brgm import StyleGAN2, StyleGAN2Prior
    from napari_brgm.priors.prior import PriorInfo

    prior = StyleGAN2Prior.of_network(StyleGAN2.from_state_dict(parity("64_rgb")[0]), PriorInfo("random-rgb"))
    assert draw(prior, 2, device="cpu").shape == (2, 64, 64, 3)
    assert draw(random_stylegan2, 2, device="cpu").shape == (2, 32, 32)


def test_the_ends_are_the_inversions_and_the_middle_is_between(linear_prior):
    """For a linear generator the middle is the mean of the ends: catches a line that is not straight in the latents."""
    first, second = grey(linear_prior, 2, 21)
    found = interpolate(linear_prior, first, second, 5, inversion_steps=20, device="cpu")
    targets = torch.from_numpy(np.stack([first, second])[:, None] / 127.5 - 1).float()
    ends = invert(linear_prior, targets, space="w", steps=20)
    np.testing.assert_allclose(found.images[[0, -1]], to_grey(ends.images)[:, 0].clamp(min=0), atol=1e-2)
    np.testing.assert_allclose(found.latents[[0, -1]], ends.ws, atol=1e-4)
    assert max(found.rmse) < 8 and found.rmse == pytest.approx(tuple(ends.rmse.tolist()), abs=1e-3)
    bright = (found.images > 1).all(axis=0)
    np.testing.assert_allclose(found.images[2][bright], found.images[[0, -1]].mean(axis=0)[bright], atol=1e-2)
    text = json.dumps(found.provenance)
    assert "synthetic" in text and "Not for diagnosis" in text and found.provenance["steps"] == 5


def test_slices_of_other_grids_and_units(linear_prior):
    """On the pixels and in the units of the first slice: catches a frame or window of the second."""
    first, second = grey(linear_prior, 2, 21)
    wide = np.pad(np.kron(first, np.ones((2, 2))), ((4, 6), (10, 4))) * 10  # 0.75 mm pixels
    found = interpolate(
        linear_prior, wide, second * 3, 3, spacing_first=(0.75, 0.75), spacing_second=(1.5, 1.5), inversion_steps=20
    )
    assert found.images.shape == (3, 58, 62)
    start = found.images[0]
    assert np.corrcoef(start.ravel(), wide.ravel())[0, 1] > 0.97
    assert np.sqrt(np.mean((start - wide) ** 2)) < 0.1 * np.ptp(wide)
    # the other way round, the first image comes last and on the second's grid
    back = interpolate(
        linear_prior, second * 3, wide, 3, spacing_first=(1.5, 1.5), spacing_second=(0.75, 0.75), inversion_steps=20
    )
    assert back.images.shape == (3, 24, 24)
    np.testing.assert_allclose(back.latents[::-1], found.latents, atol=0.05)


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (lambda a: {"second": a.astype(complex)}, "the second slice: the image must hold real numbers"),
        (lambda a: {"first": np.full_like(a, np.nan)}, "the first slice: .*NaN"),
        (lambda a: {"steps": 1}, "at least 2 steps"),
        (lambda a: {"spacing_second": (0.0, 1.0)}, "the second slice: spacing"),
        (lambda a: {"inversion_steps": -1}, "steps"),
    ],
)
def test_what_cannot_be_interpolated(linear_prior, scan, change, says):
    arguments = {"first": scan, "second": scan, "inversion_steps": 1} | change(scan)
    with pytest.raises(InputError, match=says):
        interpolate(linear_prior, **arguments)


def test_no_image_to_draw(linear_prior):
    with pytest.raises(InputError, match="at least 1"):
        draw(linear_prior, 0)


def test_progress_is_told(linear_prior, scan):
    seen: list[tuple[int, int]] = []
    interpolate(linear_prior, scan, scan[::-1], 2, inversion_steps=3, report=lambda *step: seen.append(step))
    assert seen == [(0, 3), (1, 3), (2, 3), (3, 3)]
