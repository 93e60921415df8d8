"""Stacks on one scale."""

from __future__ import annotations

import numpy as np

from napari_brgm.datasets.evened import evened, scales


def head(slices: int = 12) -> np.ndarray:
    """A bright ellipsoid with darker spots, which change from slice to slice."""
    z, y, x = np.ogrid[:slices, :40, :40]
    found = 150 + 20 * np.sin(0.4 * x + 0.3 * z) * np.cos(0.5 * y - 0.2 * z)
    found = np.where((x - 12) ** 2 + (y - 20) ** 2 < 25 + z, 60, found)
    return np.where((x - 20) ** 2 + (y - 20) ** 2 < 330 - z**2 / 2, found, 0).astype(np.float32)


def test_scales_of_slices_are_found_whatever_is_in_them():
    wanted = np.ones(12)
    wanted[[1, 4, 5, 9]] = 0.7, 0.75, 0.9, 1.2
    found = scales(head() * wanted[:, None, None])
    np.testing.assert_allclose(found / np.median(found), wanted / np.median(wanted), rtol=0.02)
    even = evened(head() * wanted[:, None, None])
    assert even.dtype == np.float32
    np.testing.assert_allclose(even, head(), rtol=0.03)


def test_black_slices_stay_black():
    stack = head()
    stack[[0, 11]] = 0
    found = evened(stack)
    assert np.isfinite(found).all()
    assert not found[[0, 11]].any()
    np.testing.assert_allclose(found[5], stack[5], rtol=0.03)
