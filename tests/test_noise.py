"""The noise estimate is right on phantoms of known noise, and a masked background does not pull it down."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pytest

from napari_brgm.errors import InputError
from napari_brgm.noise import estimate_noise_sigma

Array = npt.NDArray[np.float64]


def phantom(size: int = 160, blobs: int = 25) -> tuple[Array, npt.NDArray[np.bool_]]:
    """A structured head on 0..255: sharp-edged ellipses on a shaded ellipse, and where its background is."""
    rng = np.random.default_rng(7)
    row, column = np.mgrid[:size, :size] / size - 0.5
    head = (row / 0.45) ** 2 + (column / 0.38) ** 2 < 1
    image = 120 + 40 * np.cos(5 * row + 3 * column)
    for _ in range(blobs):
        r, c, a, b = rng.uniform(-0.3, 0.3, 2).tolist() + rng.uniform(0.02, 0.12, 2).tolist()
        image = image + rng.uniform(-40, 40) * (((row - r) / a) ** 2 + ((column - c) / b) ** 2 < 1)
    return np.where(head, np.clip(image, 30, 225), 0.0), ~head


@pytest.mark.parametrize("sigma", [2.0, 5.0, 10.0])
@pytest.mark.parametrize("kind", ["noise everywhere", "masked", "clipped to 8 bits", "missing half"])
def test_known_noise_is_found(sigma: float, kind: str) -> None:
    clean, background = phantom()
    noisy = clean + np.random.default_rng(0).normal(0, sigma, clean.shape)
    missing = None
    if kind == "masked":
        noisy[background] = 0
    elif kind == "clipped to 8 bits":
        noisy = np.clip(np.round(noisy), 0, 255)
    elif kind == "missing half":
        missing = np.zeros(clean.shape, dtype=bool)
        missing[:, 80:] = True
        noisy[missing] = np.random.default_rng(1).uniform(0, 255, missing.sum())  # must not be looked at
    assert estimate_noise_sigma(noisy, missing) == pytest.approx(sigma, rel=0.15)


def test_units_and_offset_follow_the_image() -> None:
    """CT: air at -1024; an estimate tied to zero background or to 0..255 would differ."""
    clean, background = phantom()
    noisy = clean + np.random.default_rng(0).normal(0, 5, clean.shape)
    noisy[background] = 0
    assert estimate_noise_sigma(noisy * 8 - 1024) == pytest.approx(8 * estimate_noise_sigma(noisy), rel=1e-9)


def test_a_constant_border_counts_neither_dark_nor_bright() -> None:
    """A collimated X-ray, or saturation: half of the image holds one bright value."""
    noisy = np.random.default_rng(0).normal(100, 5, (96, 96))
    noisy[:, :50] = 255
    assert estimate_noise_sigma(noisy) == pytest.approx(5, rel=0.15)


def test_values_that_are_not_finite_are_left_out() -> None:
    rng = np.random.default_rng(0)
    noisy = rng.normal(100, 5, (160, 160))
    noisy[rng.random(noisy.shape) < 0.2] = np.nan  # hardly a neighbourhood without one
    noisy[40, 40] = np.inf
    assert estimate_noise_sigma(noisy) == pytest.approx(5, rel=0.15)


def test_nothing_to_measure_gives_zero() -> None:
    assert estimate_noise_sigma(np.full((32, 32), 7.0)) == 0
    assert estimate_noise_sigma(np.zeros((2, 32))) == 0
    assert estimate_noise_sigma(np.ones((32, 32)), np.ones((32, 32), dtype=bool)) == 0


def test_bad_input_gets_a_sentence() -> None:
    with pytest.raises(InputError, match="two-dimensional"):
        estimate_noise_sigma(np.zeros((3, 8, 8)))
    with pytest.raises(InputError, match=r"mask has shape \(4, 4\)"):
        estimate_noise_sigma(np.zeros((8, 8)), np.zeros((4, 4), dtype=bool))


def test_a_large_slice_is_looked_at_in_stripes(monkeypatch):
    """4,096 x 4,096 pixels in float64 would be a gigabyte of filters; stripes do not see across their seams."""
    rng = np.random.default_rng(0)
    image = (
        100 + np.repeat(1000.0 * (np.arange(1024) // 64 % 2), 512).reshape(1024, 512) + rng.normal(0, 5, (1024, 512))
    )
    hidden = np.zeros(image.shape, bool)
    hidden[:, :100] = True
    whole = estimate_noise_sigma(image, hidden)
    monkeypatch.setattr("napari_brgm.noise._MOST", 1 << 17)
    image[hidden] = 1e6
    assert estimate_noise_sigma(image, hidden) == pytest.approx(whole, rel=0.05)
    assert whole == pytest.approx(5, rel=0.05)
