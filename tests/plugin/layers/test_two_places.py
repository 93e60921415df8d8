"""A mask painted in a program that takes the qform, on a scan whose sform lies elsewhere."""

from __future__ import annotations

import nibabel as nib
import numpy as np
import pytest
from napari.layers import Image, Labels, Layer
from nifti_bytes import AFFINE, ARRAY

from napari_brgm.errors import InputError
from napari_brgm.plugin.layers.scans import image_layer
from napari_brgm.plugin.layers.shown import check_mask
from napari_brgm.scans.nifti import read_nifti

SHIFTED = AFFINE + np.array([[0, 0, 0, 2.0], [0] * 4, [0] * 4, [0] * 4])
FLIPPED = np.diag([-1, 1, 1, 1.0]) @ AFFINE


def layer(path, array, sform, qform, kind) -> Layer:
    image = nib.Nifti1Image(array, sform)
    image.set_sform(sform, 2)
    image.set_qform(qform, 1)
    nib.save(image, path)
    data, settings, _ = image_layer(read_nifti(path))
    if kind is Labels:  # as napari's 'Convert to Labels' does: the metadata stay
        settings = {key: settings[key] for key in ("name", "scale", "translate", "units", "axis_labels", "metadata")}
        data = data.astype(np.uint8)
    return kind(data, **settings)


@pytest.fixture
def painted():
    mask = np.zeros(ARRAY.shape, np.uint8)
    mask[3:5, 3:5, 2] = 1
    return mask


def test_it_is_taken_as_painted_on_the_same_voxels(tmp_path, painted):
    scan = layer(tmp_path / "scan.nii", ARRAY, AFFINE, SHIFTED, Image)
    check_mask(scan, layer(tmp_path / "mask.nii", painted, SHIFTED, SHIFTED, Labels))


@pytest.mark.parametrize(
    ("qform", "place"), [(SHIFTED, 2 * SHIFTED - AFFINE), (FLIPPED, FLIPPED)], ids=["at neither", "sides swapped"]
)
def test_elsewhere_or_with_other_sides_it_is_refused(tmp_path, painted, qform, place):
    """Where sides are swapped the layers show their voxels in different order: nothing may be taken as it is."""
    scan = layer(tmp_path / "scan.nii", ARRAY, AFFINE, qform, Image)
    with pytest.raises(InputError, match="lies elsewhere"):
        check_mask(scan, layer(tmp_path / "mask.nii", painted, place, place, Labels))
