"""Files must be claimed by content and opened with their geometry; layers saved through napari's own dialogue must open
again as what they were, and never replace their source.
"""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import TYPE_CHECKING

import nibabel as nib
import numpy as np
import pytest
from napari.components import ViewerModel
from npe2 import PluginManifest
from pydicom.data import get_testdata_file

from napari_brgm.errors import OutputError
from napari_brgm.plugin.layers.files import get_dicom_reader, get_nifti_reader
from napari_brgm.plugin.layers.results import tint
from napari_brgm.scans.record import plain

if TYPE_CHECKING:
    from napari.layers import Image

RECORD = {
    "notice": "Synthetic.", "software": {"name": "napari-brgm", "version": "0.1.0"}, "task": "in-paint", "run": "abc",
    "source_layer": "head", "spacing_mm": (1.0, 2.0), "slices": [{"index": [2, None, None], "loss": np.float64(0.5)}],
}  # fmt: skip


@pytest.fixture(autouse=True)
def our_plugin(npe2pm) -> None:
    npe2pm.register(PluginManifest.from_distribution("napari-brgm"))


@pytest.fixture
def nifti(tmp_path: Path) -> Path:
    affine = np.array([[-1.0, 0.1, 0, 3], [0, 2.0, 0, 4], [0, 0, 3.0, 5], [0, 0, 0, 1]])
    values = np.random.default_rng(0).integers(0, 900, (6, 5, 4)).astype(np.int16)
    nib.save(nib.Nifti1Image(values, affine), tmp_path / "head.nii.gz")
    return tmp_path / "head.nii.gz"


@pytest.fixture
def dicom(tmp_path: Path) -> Path:
    return Path(shutil.copy(get_testdata_file("CT_small.dcm", download=False), tmp_path / "ct.dcm"))


@pytest.fixture
def series(tmp_path: Path) -> Path:
    folder = tmp_path / "series"
    folder.mkdir()
    shutil.copy(get_testdata_file("MR_small.dcm", download=False), folder / "IM0001")
    (folder / "readme.txt").write_text("not an image")
    return folder


def test_nifti_opens_in_the_viewer(nifti: Path) -> None:
    viewer = ViewerModel()
    (layer,) = viewer.open(nifti, plugin="napari-brgm")
    assert layer.data.shape == (4, 5, 6)
    np.testing.assert_allclose(layer.scale, (3, np.hypot(2, 0.1), 1))
    assert not layer.rgb
    assert layer.metadata["scan"]["header"] is not None
    np.testing.assert_array_equal(layer.metadata["scan"]["file_affine"], nib.load(nifti).affine)


def test_dicom_folder_and_file_open_in_the_viewer(series: Path) -> None:
    viewer = ViewerModel()
    (layer,) = viewer.open(series, plugin="napari-brgm")
    assert layer.data.shape == (64, 64)
    file = series.parent / "image.dcm"
    shutil.copy(series / "IM0001", file)
    (same,) = viewer.open(file, plugin="napari-brgm")
    np.testing.assert_array_equal(same.data, layer.data)


def test_paths_of_others_are_left_alone(nifti: Path, series: Path, tmp_path: Path) -> None:
    empty = tmp_path / "empty"
    empty.mkdir()
    (empty / "a.txt").write_text("text")
    assert get_nifti_reader([str(nifti), "photo.png"]) is None
    assert get_nifti_reader(str(nifti)) is not None
    assert get_dicom_reader(empty) is None
    assert get_dicom_reader(nifti) is None
    assert get_dicom_reader([series]) is not None
    assert get_dicom_reader([]) is None


def result_of(viewer: ViewerModel, source: Image, role: str) -> Image:
    """A result layer as a run would add it."""
    data = np.asarray(source.data, dtype=np.float32).copy()
    data[..., 1:3, 1:3] += 0.25
    if role == "variance":
        data = (data - source.data).astype(np.float32) ** 2
    layer = viewer.add_image(
        data, scale=source.scale, translate=source.translate, units=source.units, axis_labels=source.axis_labels,
        name=f"{role} | {source.name}", metadata=source.metadata | {"brgm": RECORD | {"role": role}},
    )  # fmt: skip
    return layer


@pytest.mark.parametrize("suffix", [".nii.gz", ".nii"])
@pytest.mark.parametrize("role", ["restored", "variance"])
def test_nifti_round_trip(nifti: Path, tmp_path: Path, suffix: str, role: str) -> None:
    viewer = ViewerModel()
    (source,) = viewer.open(nifti, plugin="napari-brgm")
    layer = result_of(viewer, source, role)
    (written,) = layer.save(str(tmp_path / f"out{suffix}"), plugin="napari-brgm")
    assert written == str(tmp_path / f"out{suffix}")
    np.testing.assert_array_equal(nib.load(written).affine, nib.load(nifti).affine)
    (again,) = viewer.open(written, plugin="napari-brgm")
    np.testing.assert_array_equal(again.data, layer.data)
    np.testing.assert_allclose(again.data_to_world((3, 4, 5)), source.data_to_world((3, 4, 5)))
    sidecar = json.loads((tmp_path / "out.json").read_text())
    expected = plain(layer.metadata["brgm"])
    assert again.metadata["brgm"] == expected
    assert {key: value for key, value in sidecar.items() if not key[0].isupper()} == expected
    assert sidecar["Sources"] == ["head.nii.gz"]
    assert str(tmp_path) not in json.dumps(sidecar)
    assert again.name.startswith(layer.name)
    if role == "variance":
        assert again.colormap.name == tint().name
        np.testing.assert_allclose(again.contrast_limits, (0, 0.25**2))
        assert again.metadata["scan"]["units"] == "a.u.^2"


def test_dicom_round_trip(dicom: Path, tmp_path: Path) -> None:
    viewer = ViewerModel()
    (source,) = viewer.open(dicom, plugin="napari-brgm")
    layer = result_of(viewer, source, "restored")
    (written,) = layer.save(str(tmp_path / "out.dcm"), plugin="napari-brgm")
    (again,) = viewer.open(written, plugin="napari-brgm")
    np.testing.assert_allclose(again.data, layer.data, atol=0.5)
    untouched = np.asarray(layer.data) == source.data
    np.testing.assert_array_equal(np.asarray(again.data)[untouched], source.data[untouched])
    np.testing.assert_array_equal(again.metadata["scan"]["file_affine"], source.metadata["scan"]["file_affine"])
    assert again.metadata["brgm"] == plain(layer.metadata["brgm"])
    assert again.name.startswith("restored | head")


def test_several_layers_have_names_of_their_own(nifti: Path, tmp_path: Path) -> None:
    viewer = ViewerModel()
    (source,) = viewer.open(nifti, plugin="napari-brgm")
    layers = [result_of(viewer, source, role) for role in ("restored", "variance")]
    viewer.layers.selection = set(layers)
    written = viewer.layers.save(str(tmp_path / "all.nii.gz"), selected=True, plugin="napari-brgm")
    names = ["all_restored-head-synthetic.nii.gz", "all_variance-head-synthetic.nii.gz"]
    assert sorted(Path(file).name for file in written) == names
    roles = [viewer.open(file, plugin="napari-brgm")[0].metadata["brgm"]["role"] for file in sorted(written)]
    assert roles == ["restored", "variance"]


def test_the_source_is_never_written_over(nifti: Path, dicom: Path) -> None:
    for path in (nifti, dicom):
        viewer = ViewerModel()
        (source,) = viewer.open(path, plugin="napari-brgm")
        before = path.read_bytes()
        for layer in (source, result_of(viewer, source, "restored")):
            with pytest.raises(OutputError, match="was read from; choose another name"):
                layer.save(str(path), plugin="napari-brgm")
        assert path.read_bytes() == before


def test_an_image_that_was_not_computed_here_is_no_result(nifti: Path, dicom: Path, tmp_path: Path) -> None:
    viewer = ViewerModel()
    (source,) = viewer.open(nifti, plugin="napari-brgm")
    source.save(str(tmp_path / "copy.nii.gz"), plugin="napari-brgm")
    (again,) = viewer.open(tmp_path / "copy.nii.gz", plugin="napari-brgm")
    assert "brgm" not in again.metadata
    assert again.name == "copy"
    np.testing.assert_array_equal(again.data, source.data)
    (ct,) = viewer.open(dicom, plugin="napari-brgm")
    for layer in (ct, result_of(viewer, source, "restored")):
        with pytest.raises(OutputError, match="save it as NIfTI instead"):
            layer.save(str(tmp_path / "no.dcm"), plugin="napari-brgm")
    assert not (tmp_path / "no.dcm").exists()
