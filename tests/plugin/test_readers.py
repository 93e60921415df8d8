"""Files must be claimed by content, opened through napari's own dialogue, and shown with their geometry."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING

import nibabel as nib
import numpy as np
import pytest
from napari.components import ViewerModel
from npe2 import PluginManifest

from napari_brgm.plugin.readers import get_dicom_reader, get_nifti_reader

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture(autouse=True)
def our_plugin(npe2pm) -> None:
    npe2pm.register(PluginManifest.from_distribution("napari-brgm"))


@pytest.fixture
def nifti(tmp_path: Path) -> Path:
    affine = np.diag([-1.0, 2.0, 3.0, 1.0])
    image = nib.Nifti1Image(np.random.default_rng(0).integers(0, 900, (6, 5, 4)).astype(np.int16), affine)
    nib.save(image, tmp_path / "head.nii.gz")
    return tmp_path / "head.nii.gz"


@pytest.fixture
def dicom(tmp_path: Path) -> Path:
    from pydicom.data import get_testdata_file

    folder = tmp_path / "series"
    folder.mkdir()
    shutil.copy(get_testdata_file("MR_small.dcm", download=False), folder / "IM0001")
    (folder / "readme.txt").write_text("not an image")
    return folder


def test_nifti_opens_in_the_viewer(nifti: Path) -> None:
    viewer = ViewerModel()
    (layer,) = viewer.open(nifti, plugin="napari-brgm")
    assert layer.data.shape == (4, 5, 6)
    np.testing.assert_allclose(layer.scale, (3, 2, 1))
    assert not layer.rgb
    assert layer.metadata["scan"]["header"] is not None
    np.testing.assert_array_equal(layer.metadata["scan"]["file_affine"], np.diag([-1.0, 2.0, 3.0, 1.0]))


def test_dicom_folder_and_file_open_in_the_viewer(dicom: Path) -> None:
    viewer = ViewerModel()
    (layer,) = viewer.open(dicom, plugin="napari-brgm")
    assert layer.data.shape == (64, 64)
    file = dicom.parent / "image.dcm"
    shutil.copy(dicom / "IM0001", file)
    (same,) = viewer.open(file, plugin="napari-brgm")
    np.testing.assert_array_equal(same.data, layer.data)


def test_paths_of_others_are_left_alone(nifti: Path, dicom: Path, tmp_path: Path) -> None:
    empty = tmp_path / "empty"
    empty.mkdir()
    (empty / "a.txt").write_text("text")
    assert get_nifti_reader([str(nifti), "photo.png"]) is None
    assert get_nifti_reader(str(nifti)) is not None
    assert get_dicom_reader(empty) is None
    assert get_dicom_reader(nifti) is None
    assert get_dicom_reader([dicom]) is not None
    assert get_dicom_reader([]) is None
