"""The MNI152 T1 average that comes with nilearn: a brain that needs no network.

(197, 233, 189) voxels of 1 mm, skull-stripped, values 0 .. 1. It is an average of 152 heads, so it is smoother than a
single one, and its atlas is about 6 % larger than the heads that the priors were trained on.

Source: Fonov et al., "Unbiased nonlinear average age-appropriate brain templates from birth to adulthood" (NeuroImage
47, 2009), doi:10.1016/S1053-8119(09)70884-5; ICBM 152 nonlinear symmetric 2009a, as packed by nilearn.
"""

from __future__ import annotations

import warnings
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_brgm.scan import Scan

if TYPE_CHECKING:
    import numpy.typing as npt

__all__ = ["mni152_slab"]

_FILE = "mni_icbm152_t1_tal_nlin_sym_09a_converted.nii.gz"


def mni152_slab(low: float, high: float) -> Scan:
    """Take the axial slices from ``low`` to ``high``, both in mm above the anterior commissure and both included.

    Returns
    -------
    Scan
        (197, 233, high - low + 1), float32, values 0 .. 1.

    Examples
    --------
    >>> mni152_slab(8, 8).shape
    (197, 233, 1)
    """
    volume, affine = _template()
    first, last = (round((height - affine[2, 3]) / affine[2, 2]) for height in (low, high))
    affine[2, 3] += first * affine[2, 2]
    return Scan(volume[:, :, first : last + 1], affine, name="MNI152 T1", modality="MR")


def _template() -> tuple[npt.NDArray[np.float32], npt.NDArray[np.float64]]:
    """Voxels and affine of the whole template; its file is read past nilearn, whose import takes seconds."""
    import nibabel

    spec = find_spec("nilearn")
    path = Path((spec.origin if spec else None) or "").parent / "datasets" / "data" / _FILE
    image: Any
    if path.is_file():
        image = nibabel.load(path)  # type: ignore[attr-defined]
    else:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # nilearn announces its own future changes on import
            from nilearn.datasets import load_mni152_template

            image = load_mni152_template(resolution=1)
    volume = np.asarray(image.dataobj).astype(np.float32)
    return volume / volume.max(), np.array(image.affine, dtype=float)
