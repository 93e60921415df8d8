"""read_slices: what a source is, and the sentence for what is none."""

import sys

import numpy as np
import pytest

from napari_brgm.datasets import Framing, read_slices
from napari_brgm.errors import InputError, ScanError

FRAMING = Framing(24)


def test_blank_slices_are_left_out_and_nothing_else_is_refused(zipped, encoded, grey):
    even = encoded(np.full((20, 16), 7, np.uint8))  # though its edge would show inside the padding
    found = read_slices(zipped({"a/1.png": even, "b/1.png": encoded(grey(50)), "c/1.png": even}), FRAMING)
    assert found.names == ("b/1.png",)
    assert found.subject_names == ("b",)
    assert found.notes == ("2 blank slices left out",)
    with pytest.raises(ScanError, match="one even grey level"):
        read_slices(zipped({"a.png": even, "b.png": even}), FRAMING)


def test_pixel_size_is_asked_for(zipped, encoded, grey):
    path = zipped({"a.png": encoded(grey(50))})
    with pytest.raises(InputError, match="pixel size; give it in mm"):
        read_slices(path, Framing(24, 1.0))
    with pytest.raises(InputError, match="above 0"):
        read_slices(path, Framing(24, 1.0), pixel_mm=0.0)
    assert read_slices(path, Framing(24, 1.0), pixel_mm=1.0).images.shape == (1, 1, 24, 24)


def test_sources_that_are_none(tmp_path, zipped, encoded, grey):
    with pytest.raises(ScanError, match="there is no file or folder"):
        read_slices(tmp_path / "none", FRAMING)
    (tmp_path / "empty").mkdir()
    with pytest.raises(ScanError, match="holds no images"):
        read_slices(tmp_path / "empty", FRAMING)
    with pytest.raises(ScanError, match="holds no png"):
        read_slices(zipped({"a/scan.nii": b"x", "notes.txt": b"x"}), FRAMING)
    (tmp_path / "one.png").write_bytes(encoded(grey(50)))
    with pytest.raises(ScanError, match="single image"):
        read_slices(tmp_path / "one.png", FRAMING)
    (tmp_path / "text.zip").write_text("no zip")
    with pytest.raises(ScanError, match="not a readable zip"):
        read_slices(tmp_path / "text.zip", FRAMING)
    (tmp_path / "text.csv").write_text("1,2,3")
    with pytest.raises(ScanError, match="neither a NIfTI nor a DICOM"):
        read_slices(tmp_path / "text.csv", FRAMING)
    (tmp_path / "both").mkdir()
    (tmp_path / "both" / "a.png").write_bytes(encoded(grey(50)))
    for name, data in (("a.nii.gz", b"x"), ("IM0001", bytes(128) + b"DICM")):  # a preview beside a series
        (tmp_path / "both" / name).write_bytes(data)
        with pytest.raises(ScanError, match="both images and volumes"):
            read_slices(tmp_path / "both", FRAMING)
        (tmp_path / "both" / name).unlink()
    with pytest.raises(InputError, match="no plane 'oblique'"):
        read_slices(tmp_path, FRAMING, plane="oblique")


def test_images_need_no_package_for_volumes(tmp_path, encoded, grey, monkeypatch):
    for package in ("nibabel", "pydicom"):
        monkeypatch.setitem(sys.modules, package, None)
    (tmp_path / "set").mkdir()
    (tmp_path / "set" / "README").write_text("x" * 500)
    with pytest.raises(InputError, match="need the package nibabel; install it"):
        read_slices(tmp_path / "set", FRAMING)
    (tmp_path / "set" / "a.png").write_bytes(encoded(grey(50)))
    assert len(read_slices(tmp_path / "set", FRAMING)) == 1


@pytest.mark.shared
def test_real_brains_and_chests(shared_data):
    brain = read_slices(shared_data / "brain" / "brain_validation.zip", Framing(256, 1.0), pixel_mm=1.0, stride=8)
    assert brain.images.shape == (80, 1, 256, 256)
    assert len(brain.subject_names) == 20
    assert not brain.images[:, :, :24].any()  # 208 rows in 256: nothing moved, nothing blurred
    assert not brain.images[:, :, :, :40].any()
    assert brain.images.max() == 255
    chest = read_slices(shared_data / "xray" / "xray_validation.zip", Framing(256))
    assert chest.images.shape == (142, 1, 256, 256)
    assert len(chest.subject_names) == 108
    training, held = chest.split(0.1)
    assert len(training) + len(held) == 142
