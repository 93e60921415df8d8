"""The sample slice must be a brain in the prior's pose, and the mask must damage brain, not background."""

from __future__ import annotations

import numpy as np

from napari_brgm.scans.samples import brain_slice, thick_brain_slice


def test_slice_and_mask() -> None:
    scan, mask = brain_slice()
    piece = scan.slice("axial", 0)
    assert piece.spacing == (1.0, 1.0)
    assert np.isclose((scan.affine @ [0, 0, 0, 1])[2], 8)
    assert piece.image.min() == 0
    assert 0.5 < piece.image.max() <= 1
    assert mask.shape == piece.image.shape
    brain = piece.image > 0
    assert brain[mask].mean() > 0.95
    assert 0.03 < (mask & brain).sum() / brain.sum() < 0.12


def test_anterior_is_at_the_top() -> None:
    # the brain is widest behind its middle, so its rows' centre of width lies below the middle of its extent
    image = brain_slice()[0].slice("axial", 0).image
    width = (image > 0).sum(axis=1)
    rows = np.flatnonzero(width)
    assert np.argmax(width) > rows.mean()


def test_coarse_slice_is_the_mean_of_the_fine_one() -> None:
    fine, coarse = brain_slice()[0], thick_brain_slice()
    np.testing.assert_allclose(coarse.spacing[:2], 4)
    at = (10, 20, 0)
    block = fine.array[4 * at[0] : 4 * at[0] + 4, 4 * at[1] : 4 * at[1] + 4, 0]
    np.testing.assert_allclose(coarse.array[at], block.mean(), rtol=1e-6)
    np.testing.assert_allclose((coarse.affine @ [*at, 1])[:2], (fine.affine @ [4 * 10 + 1.5, 4 * 20 + 1.5, 0, 1])[:2])
