"""The frame: a shift of one pixel or another order of slices would change every figure."""

import io
import zipfile

import numpy as np
import pytest
from PIL import Image

from napari_brgm.errors import InputError, ScanError
from napari_brgm.evaluation.dataset import read_brain_slices, to_frame, validation_slices


def make_archive(path, names, shape=(208, 176)):
    with zipfile.ZipFile(path, "w") as target:
        for value, name in enumerate(names):
            stream = io.BytesIO()
            Image.fromarray(np.full(shape, 10 * value, np.uint8)).save(stream, "jpeg")
            target.writestr(name, stream.getvalue())
    return path


def test_frame_geometry():
    native = np.zeros((208, 176), np.float32)
    native[8 + 93, 85] = 90  # row 93, column 93 of the 192 x 192 square, whose centre is 62 1/6 of the frame's pixels
    frame = to_frame(native)
    assert frame.shape == (128, 128)
    total = frame.sum()
    assert total == pytest.approx(90 / 1.5**2, rel=1e-4)  # 1 mm -> 1.5 mm pixels keep the integral
    centre = (np.arange(128) + 0.5) @ frame.sum(axis=1) / total, (np.arange(128) + 0.5) @ frame.sum(axis=0) / total
    assert np.allclose(centre, 93.5 / 1.5, atol=0.1)
    with pytest.raises(InputError, match="208 rows"):
        to_frame(native.T)


def test_name_order_and_stride(tmp_path):
    names = ["subject-002/slice-00.jpg", "subject-001/slice-10.jpg", "subject-001/slice-02.jpg", "README.txt"]
    slices = read_brain_slices(make_archive(tmp_path / "a.zip", names))
    assert slices.keys == ((1, 2), (1, 10), (2, 0))
    assert np.allclose(slices.images[:, 64, 64], [20, 10, 0], atol=1)  # read into place, not in the archive's order
    assert read_brain_slices(tmp_path / "a.zip", stride=2).keys == ((1, 2), (2, 0))


def test_bad_archives_get_a_sentence(tmp_path):
    with pytest.raises(ScanError, match="does not exist"):
        read_brain_slices(tmp_path / "none.zip")
    (tmp_path / "text.zip").write_text("no zip")
    with pytest.raises(ScanError, match="not a readable zip"):
        read_brain_slices(tmp_path / "text.zip")
    with pytest.raises(ScanError, match="holds no subject"):
        read_brain_slices(make_archive(tmp_path / "empty.zip", ["other.jpg"]))
    with pytest.raises(ScanError, match="shape"):
        read_brain_slices(make_archive(tmp_path / "small.zip", ["subject-001/slice-00.jpg"], (100, 100)))
    with zipfile.ZipFile(tmp_path / "bad.zip", "w") as target:
        target.writestr("subject-001/slice-00.jpg", b"\xff\xd8 no jpeg")
    with pytest.raises(ScanError, match="not a readable JPEG"):
        read_brain_slices(tmp_path / "bad.zip")


@pytest.mark.shared
def test_the_fifty_slices(shared_data):
    archive = shared_data / "brain" / "brain_validation.zip"
    slices = validation_slices(archive)
    assert len(slices) == 50
    assert slices.keys[:3] == ((12, 0), (12, 13), (12, 26))
    assert len({subject for subject, _ in slices.keys}) == 20
    quick = validation_slices(archive, quick=True)
    assert len(quick) == 8
    assert np.array_equal(quick.images[1], slices.images[7])


def test_a_spot_lands_where_the_frame_says():
    """Native (104, 30): 8 columns are added, 8 rows cut, pixels are 1.5 mm; catches a shift by half a pixel."""
    grey = np.zeros((208, 176), np.float32)
    grey[101:108, 27:34] = 200
    weights = to_frame(grey).astype(np.float64)
    rows = (weights.sum(axis=1) * np.arange(128)).sum() / weights.sum()
    columns = (weights.sum(axis=0) * np.arange(128)).sum() / weights.sum()
    assert rows == pytest.approx((104 - 8 + 0.5) / 1.5 - 0.5, abs=0.02)
    assert columns == pytest.approx((30 + 8 + 0.5) / 1.5 - 0.5, abs=0.02)
