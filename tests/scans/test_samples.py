"""The sample slice must be a brain in the prior's pose, and the mask must damage brain, not background."""

from __future__ import annotations

import numpy as np

from napari_brgm.scans.samples import brain_slab, brain_slice, thick_brain_slab, thick_brain_slice


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


def test_slab_and_its_two_artefacts() -> None:
    """Catches masks beside the brain, on all slices, or that touch each other's slices only."""
    scan, labels = brain_slab()
    assert scan.shape == labels.shape == (197, 233, 31)
    np.testing.assert_allclose([(scan.affine @ [0, 0, k, 1])[2] for k in (0, 30)], (-2, 28))
    assert set(np.unique(labels)) == {0, 1, 2}
    slices = {label: set(np.flatnonzero((labels == label).any(axis=(0, 1)))) for label in (1, 2)}
    assert 3 <= len(slices[1]) <= 7 and 3 <= len(slices[2]) <= 7
    assert slices[1] & slices[2] and slices[1] != slices[2]
    assert labels[..., 15].any()  # the slice that a viewer opens on
    for number in slices[1] | slices[2]:
        brain, masked = scan.array[..., number] > 0.05, labels[..., number] > 0
        assert brain[masked].all() and masked.sum() < 0.1 * brain.sum()
    np.testing.assert_array_equal(scan.array[..., 10], brain_slice()[0].array[..., 0])


def test_thick_slices_are_means_at_their_centres() -> None:
    thin, thick = brain_slab()[0], thick_brain_slab()
    assert thick.plane == "axial" and thick.shape == (197, 58, 31)
    np.testing.assert_allclose(thick.spacing, (1, 4, 1))
    at = (100, 20, 15)
    np.testing.assert_allclose(thick.array[at], thin.array[100, 80:84, 15].mean(), rtol=1e-6)
    np.testing.assert_allclose(thick.affine @ [*at, 1], thin.affine @ [100, 81.5, 15, 1])
    # the front edge of the first thick slice is that of the first thin one
    np.testing.assert_allclose((thick.affine @ [0, -0.5, 0, 1])[1], (thin.affine @ [0, -0.5, 0, 1])[1])
