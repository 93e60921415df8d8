"""The template must be the one that nilearn gives, though its file is read past it."""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING

import numpy as np

from napari_brgm.scans import mni152
from napari_brgm.scans.mni152 import mni152_slab

if TYPE_CHECKING:
    import pytest


def test_it_is_what_nilearn_loads(monkeypatch: pytest.MonkeyPatch) -> None:
    """Catches another scale or another place; and a nilearn that keeps the file elsewhere is asked for it."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from nilearn.datasets import load_mni152_template

        template = load_mni152_template(resolution=1)
    slab = mni152_slab(7, 9)
    first = round(7 - template.affine[2, 3])
    np.testing.assert_allclose(slab.array, np.asarray(template.dataobj)[..., first : first + 3], rtol=1e-6)
    np.testing.assert_allclose((slab.affine @ [0, 0, 0, 1]), template.affine @ [0, 0, first, 1])
    assert slab.modality == "MR" and slab.array.dtype == np.float32

    monkeypatch.setattr(mni152, "_FILE", "moved.nii.gz")
    moved = mni152_slab(7, 9)
    np.testing.assert_allclose(moved.array, slab.array, rtol=1e-6)
    np.testing.assert_allclose(moved.affine, slab.affine)
