"""NIfTI: values, affines, refusals, damaged bytes."""

import gzip
import struct
import tracemalloc
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
from nibabel.casting import have_binary128

from napari_brgm.errors import ScanError
from napari_brgm.scans import nifti
from napari_brgm.scans.nifti import read_nifti

DATA = Path(nib.__file__).parent / "tests" / "data"
OBLIQUE = np.array([[1.5, -0.4, 0.1, -20], [0.5, 1.9, -0.3, 7], [0.05, 0.3, 2.9, 11], [0, 0, 0, 1]])


@pytest.fixture
def save(tmp_path):
    def write(array, name="scan.nii", affine=OBLIQUE, kind=nib.Nifti1Image, change=lambda image: None):
        image = kind(array, affine, dtype=array.dtype)
        change(image)
        nib.save(image, tmp_path / name)
        return tmp_path / name

    return write


def test_real_4d_file():
    scan = read_nifti(DATA / "example4d.nii.gz")
    image = nib.load(DATA / "example4d.nii.gz")
    assert scan.shape == (128, 96, 24, 2)
    assert scan.array.dtype == np.float32
    assert scan.name == "example4d"
    np.testing.assert_array_equal(scan.affine, image.affine)
    np.testing.assert_array_equal(scan.array, np.asarray(image.dataobj))


@pytest.mark.parametrize("kind", [nib.Nifti1Image, nib.Nifti2Image])
@pytest.mark.parametrize("name", ["scan.nii", "scan.nii.gz"])
def test_affine_and_values_of_both_versions(save, kind, name):
    array = np.random.default_rng(0).normal(size=(3, 4, 5)).astype(np.float32)
    scan = read_nifti(save(array, name, kind=kind))
    np.testing.assert_allclose(scan.affine, OBLIQUE, atol=1e-5)
    np.testing.assert_array_equal(scan.array, array)
    assert scan.notes == ()


def test_pair_is_read_from_either_half(save, tmp_path):
    array = np.arange(24, dtype=np.int16).reshape(2, 3, 4)
    save(array, "pair.img", kind=nib.Nifti1Pair)
    for half in ("pair.img", "pair.hdr"):
        np.testing.assert_array_equal(read_nifti(tmp_path / half).array, array)


def test_slope_and_intercept_are_applied(save):
    array = np.arange(24, dtype=np.int16).reshape(2, 3, 4)
    scan = read_nifti(save(array, change=lambda image: image.header.set_slope_inter(0.25, -3)))
    stored = np.asarray(nib.load(scan.source).dataobj.get_unscaled())
    np.testing.assert_array_equal(scan.array, (stored * 0.25 - 3).astype(np.float32))


@pytest.mark.parametrize(
    ("value", "dtype"),
    [
        (2**24, np.float32), (2**24 + 1, np.float64), (-(2**25) - 1, np.float64), (-(2**53), np.float64),
        (2**53 + 1, np.int64),
    ],
)  # fmt: skip
def test_integers_stay_exact(save, value, dtype):
    array = np.zeros((2, 2, 2), np.int64 if abs(value) > 2**31 else np.int32)
    array[0, 0, 0] = value
    scan = read_nifti(save(array))
    assert scan.array.dtype == dtype
    assert scan.array[0, 0, 0] == value


def test_metres_and_microns_become_mm(save):
    for unit, factor in (("meter", 1000), ("micron", 0.001)):
        path = save(np.zeros((2, 2, 2), np.float32), change=lambda image, unit=unit: image.header.set_xyzt_units(unit))
        np.testing.assert_allclose(read_nifti(path).affine[:3], OBLIQUE[:3] * factor, rtol=1e-5)


def test_plane_image_and_trailing_axes(save):
    assert read_nifti(save(np.zeros((5, 6), np.float32))).shape == (5, 6, 1)
    assert read_nifti(save(np.zeros((2, 3, 4, 5, 1), np.float32))).shape == (2, 3, 4, 5)


def test_file_without_orientation_is_noted(save):
    def forget(image):
        image.set_sform(None, 0)
        image.set_qform(None, 0)

    assert (
        "does not say how the patient lies" in read_nifti(save(np.zeros((2, 2, 2), np.float32), change=forget)).notes[0]
    )


RGB = np.dtype([("R", "u1"), ("G", "u1"), ("B", "u1")])


@pytest.mark.parametrize(
    ("array", "words"),
    [
        (np.zeros((2, 2, 2), np.complex64), "complex numbers"),
        (np.zeros((2, 2, 2), RGB), "colours"),
        (np.zeros((2, 2, 2, 1, 3), np.float32), "5 axes"),
        (np.zeros(4, np.float32), "1 axes"),
    ],
)
def test_refused_images(save, array, words):
    with pytest.raises(ScanError, match=words):
        read_nifti(save(array))


def test_singular_affine_is_refused(save):
    path = save(np.zeros((2, 2, 2), np.float32), change=lambda image: image.set_sform(np.diag([1, 0, 1, 1]), 1))
    with pytest.raises(ScanError, match="cannot be placed in space"):
        read_nifti(path)


def test_analyze_text_and_missing_files(tmp_path):
    nib.save(nib.AnalyzeImage(np.zeros((2, 2, 2), np.int16), np.eye(4)), tmp_path / "old.img")
    with pytest.raises(ScanError, match="Analyze"):
        read_nifti(tmp_path / "old.hdr")
    with pytest.raises(ScanError, match=r"old\.img is in Analyze format"):
        read_nifti(tmp_path / "old.img")
    (tmp_path / "old.hdr").write_bytes(b"")
    with pytest.raises(ScanError, match=r"old\.hdr ends too early: 0 bytes are there, and a header has 348"):
        read_nifti(tmp_path / "old.img")
    (tmp_path / "text.nii").write_text("hello" * 200)
    with pytest.raises(ScanError, match="not a NIfTI file"):
        read_nifti(tmp_path / "text.nii")
    with pytest.raises(ScanError, match="there is no file gone"):
        read_nifti(tmp_path / "gone.nii")


@pytest.mark.parametrize("name", ["anatomical.nii", "example4d.nii.gz", "example_nifti2.nii.gz"])
def test_truncated_files_give_one_sentence(tmp_path, name, capfd):
    content = (DATA / name).read_bytes()
    path = tmp_path / name
    for length in [*range(0, 600, 20), *range(600, len(content), len(content) // 20), len(content) - 1]:
        path.write_bytes(content[:length])
        with pytest.raises(ScanError) as caught:
            read_nifti(path)
        assert "\n" not in str(caught.value)
    assert capfd.readouterr() == ("", "")


def test_damaged_headers_give_a_scan_or_one_sentence(tmp_path, capfd):
    content = (DATA / "anatomical.nii").read_bytes()
    path = tmp_path / "damaged.nii"
    rng = np.random.default_rng(0)
    for _ in range(150):
        damaged = bytearray(content)
        for position in rng.integers(0, 352, 3):
            damaged[position] = rng.integers(256)
        path.write_bytes(damaged)
        try:
            assert read_nifti(path).array.ndim in (3, 4)
        except ScanError as error:
            assert "\n" not in str(error)
    assert capfd.readouterr() == ("", "")


def test_flipped_bit_in_gzip_is_found(tmp_path):
    content = bytearray((DATA / "example4d.nii.gz").read_bytes())
    content[-6] ^= 1  # of the checksum
    (tmp_path / "scan.nii.gz").write_bytes(content)
    with pytest.raises(ScanError, match=r"no longer those that gzip wrote.*CRC"):
        read_nifti(tmp_path / "scan.nii.gz")


@pytest.mark.parametrize("name", ["scan.nii", "scan.nii.gz", "pair.img"])
@pytest.mark.parametrize(
    ("dtype", "slope"), [("int16", 1), ("int32", 1), ("uint64", 1), ("int16", 0.1), ("float64", 1)]
)
def test_memory_is_the_array_and_a_block(save, monkeypatch, name, dtype, slope):
    array = np.random.default_rng(0).integers(0, np.iinfo("int16").max, (100, 100, 50)).astype(dtype)
    array[0, 0, 49] = min(np.iinfo(dtype).max, 2**63) if dtype != "float64" else 0.1  # the last voxel decides
    path = save(array, name, kind=nib.Nifti1Pair if name == "pair.img" else nib.Nifti1Image)
    if slope != 1:
        header = path.with_suffix(".hdr") if name == "pair.img" else path
        content = gzip.decompress(header.read_bytes()) if name.endswith(".gz") else header.read_bytes()
        content = content[:112] + struct.pack("<ff", slope, 0) + content[120:]
        header.write_bytes(gzip.compress(content) if name.endswith(".gz") else content)
    monkeypatch.setattr(nifti, "_PIECE", 1 << 14)
    read_nifti(path)
    tracemalloc.start()
    try:
        scan = read_nifti(path)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < scan.array.nbytes + (1 << 20)


def test_quad_precision_is_refused_in_one_sentence(tmp_path):
    if have_binary128():
        pytest.skip("this machine has 128-bit floats")
    header = nib.Nifti1Header()
    header["datatype"], header["bitpix"], header["dim"][:4], header["vox_offset"] = 1536, 128, [3, 2, 2, 2], 352
    (tmp_path / "quad.nii").write_bytes(header.binaryblock + bytes(4 + 128))
    with pytest.raises(ScanError, match=r"quad\.nii holds 128-bit floats \(datatype 1536\).*save it as float64"):
        read_nifti(tmp_path / "quad.nii")


@pytest.mark.shared
def test_shared_nifti_files_agree_with_nibabel(unpacked):
    for path in sorted((unpacked("nibabel") / "nifti").iterdir()):
        scan, image = read_nifti(path), nib.load(path)
        np.testing.assert_array_equal(scan.affine, image.affine)
        np.testing.assert_array_equal(scan.array, np.asarray(image.dataobj))


def zeros_packed(path, shape, behind=0):
    """A gzip file of an image of zeros, and of zeros behind it."""
    header = nib.Nifti1Header()
    header.set_data_dtype(np.uint8)
    header.set_data_shape(shape)
    header["vox_offset"], header["magic"] = 352, b"n+1"
    left = int(np.prod(shape)) + behind
    with gzip.open(path, "wb", compresslevel=9) as stream:
        stream.write(header.binaryblock + bytes(4))
        while left:
            left -= stream.write(bytes(min(left, 1 << 24)))
    return path


def test_what_lies_behind_an_image_is_not_unpacked(tmp_path, monkeypatch):
    """Catches 10 GB of zeros behind a small image, read to the end for the sake of a checksum."""
    path = zeros_packed(tmp_path / "scan.nii.gz", (4, 5, 6), behind=1 << 26)
    seen = []
    read = gzip.GzipFile.read
    monkeypatch.setattr(gzip.GzipFile, "read", lambda self, size=-1: seen.append(size) or read(self, size))
    scan = read_nifti(path)
    assert scan.shape == (4, 5, 6) and any("goes on behind its voxels" in note for note in scan.notes)
    assert all(size >= 0 for size in seen) and sum(seen) < 1 << 22


def test_a_trap_is_refused_before_anything_is_unpacked(tmp_path):
    """Catches 1 MB that inflate to 1 GB, and to 4 GB as floats."""
    path = zeros_packed(tmp_path / "scan.nii.gz", (1024, 1024, 400))
    tracemalloc.start()
    try:
        with pytest.raises(ScanError, match=r"unpacks to 0\.4 GB, .* times its size.*gunzip"):
            read_nifti(path)
        assert tracemalloc.get_traced_memory()[1] < 1 << 22
    finally:
        tracemalloc.stop()


def test_a_large_empty_mask_is_no_trap(tmp_path):
    assert read_nifti(zeros_packed(tmp_path / "mask.nii.gz", (256, 256, 200))).array.max() == 0


def test_a_claim_that_no_packing_could_hold_is_refused(tmp_path):
    path = zeros_packed(tmp_path / "scan.nii.gz", (4, 5, 6))
    content = bytearray(gzip.decompress(path.read_bytes()))
    struct.pack_into("<3h", content, 42, 30000, 30000, 30000)
    path.write_bytes(gzip.compress(content))
    with pytest.raises(ScanError, match="bytes cannot hold the 27000000000352"):
        read_nifti(path)


@pytest.mark.parametrize(("dtype", "slope", "words"), [("float64", 1e300, "infinite"), ("int16", 3e38, "as large as")])
def test_slopes_that_spoil_values_are_noted(tmp_path, dtype, slope, words):
    path = tmp_path / "scan.nii"
    image = nib.Nifti2Image(np.full((3, 3, 3), 1e10 if dtype == "float64" else 1000, dtype), np.eye(4), dtype=dtype)
    nib.save(image, path)
    content = bytearray(path.read_bytes())
    struct.pack_into("<dd", content, 176, slope, 0)
    path.write_bytes(content)
    notes = read_nifti(path).notes
    assert sum(words in note and "slope" in note for note in notes) == 1


def test_values_that_are_no_numbers_in_the_file_are_not_laid_on_the_slope(save):
    array = np.ones((3, 3, 3), np.float32)
    array[0] = np.nan
    assert read_nifti(save(array)).notes == ()


@pytest.mark.parametrize("packed", [False, True])
def test_a_header_that_is_cut_is_no_other_format(save, tmp_path, packed):
    """Catches 'it may be in Analyze format' of a copy that was cut."""
    start = save(np.zeros((2, 2, 2), np.float32)).read_bytes()
    start = (gzip.decompress(start) if start[:2] == b"\x1f\x8b" else start)[:200]
    cut = tmp_path / ("cut.nii.gz" if packed else "cut.nii")
    cut.write_bytes(gzip.compress(start) if packed else start)
    with pytest.raises(ScanError, match="ends too early: 200 bytes are there, and a header has 348"):
        read_nifti(cut)
