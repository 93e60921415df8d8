"""Texture of crowds: what is alike is not told apart, and what is blurred or grainy is."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import ndimage

from napari_brgm.evaluation.texture import octaves_of, texture_of

SIDE = 64


def crowd(n: int, blur: float, seed: int) -> np.ndarray:
    """Discs with grain (n, SIDE, SIDE)."""
    rng = np.random.default_rng(seed)
    at = np.linspace(-1, 1, SIDE)
    disc = 1 / (1 + np.exp(15 * (np.hypot(*np.meshgrid(at, at)) - 0.7)))
    grain = ndimage.gaussian_filter(rng.standard_normal((n, SIDE, SIDE)), (0, blur, blur))
    return disc * np.clip(120 + 15 * grain / grain.std(), 0, 255)


def test_the_same_kind_is_not_told_apart():
    found = texture_of(crowd(120, 1.0, 1), crowd(120, 1.0, 2), np.arange(120) // 4)
    assert found.told < 0.65 and found.laplacian == pytest.approx(1, abs=0.1) and found.frechet < 2
    assert np.allclose(found.octaves, 1, atol=0.25) and len(found.octaves) == 4


@pytest.mark.parametrize(("blur", "low", "high"), [(2.0, 0.0, 0.7), (0.6, 1.4, 99.0)])
def test_another_grain_is_told(blur, low, high):
    found = texture_of(crowd(120, blur, 1), crowd(120, 1.0, 2), np.arange(120) // 4)
    assert found.told > 0.95 and low < found.laplacian < high and low < found.octaves[-1] < high


def test_a_wave_lies_in_its_octave():
    """Catches octaves that are one off, and a mean image that counts."""
    wave = np.cos(2 * np.pi * 10 * np.arange(SIDE) / SIDE)[None, None] * np.ones((1, SIDE, 1))
    images = 100 + np.concatenate([wave, -wave])
    power = octaves_of(images)
    assert power.argmax() == 2 and power[2] > 1e6 * np.delete(power, 2).max()
