"""Measured voxels keep their real value bit for bit from a NIfTI file to the restored one, whatever its type."""

import struct
from itertools import product

import nibabel as nib
import numpy as np
import pytest
from nibabel.casting import have_binary128

from napari_brgm.scans.export import write_nifti
from napari_brgm.scans.nifti import read_nifti

OBLIQUE = np.array([[1.5, -0.4, 0.1, -20], [0.5, 1.9, -0.3, 7], [0.05, 0.3, 2.9, 11], [0, 0, 0, 1]])
INTEGERS = ["uint8", "int8", "int16", "uint16", "int32", "uint32", "int64", "uint64"]
FLOATS = ["float32", "float64"] + (["longdouble"] if have_binary128() else [])  # nibabel writes no others
SCALES = [None, (0.1, -7.0), (0.25, 1000.0), (-3.0, 0.0), (1.0, 0.5)]
LAYOUTS = [((6, 5), "<"), ((6, 5, 4), "<"), ((6, 5, 4, 3), ">")]
WHAT = [(kind, "all") for kind in INTEGERS + FLOATS] + [("int64", "to 2^53"), ("uint64", "to 2^53")]


def values_of(kind: str, reach: str, shape: tuple[int, ...]) -> np.ndarray:
    """Random values over the whole range of a type, its limits among them."""
    rng = np.random.default_rng(0)
    dtype = np.dtype(kind)
    if dtype.kind == "f":
        values = rng.normal(size=shape).astype(dtype) * dtype.type(10) ** rng.integers(-20, 20, shape).astype(dtype)
        values.flat[:6] = [-0.0, np.finfo(dtype).max, np.finfo(dtype).tiny / 8, 1e-5, np.inf, np.nan]
        return values
    low, high = (0 if dtype.kind == "u" else -(2**53), 2**53) if reach != "all" else (
        np.iinfo(dtype).min, np.iinfo(dtype).max,
    )  # fmt: skip
    values = rng.integers(low, high, shape, dtype, endpoint=True)
    values.flat[:5] = [low, high, high - 1, 0, 1]
    return values


@pytest.fixture
def source(tmp_path):
    def write(kind, reach, shape, scale, order):
        values = values_of(kind, reach, shape)
        header = nib.Nifti1Header(endianness=order)
        image = nib.Nifti1Image(values, OBLIQUE, header, dtype=values.dtype)
        assert image.header.endianness == order
        path = tmp_path / "source.nii"
        nib.save(image, path)
        if scale is not None:
            content = bytearray(path.read_bytes())
            content[112:120] = struct.pack(f"{order}ff", *scale)
            path.write_bytes(content)
        stored = np.asarray(nib.load(path).dataobj.get_unscaled())
        np.testing.assert_array_equal(stored, values)
        return path

    return write


def real(path, shape) -> np.ndarray:
    return np.asarray(nib.load(path).dataobj).reshape(shape)


def assert_same(found: np.ndarray, expected: np.ndarray) -> None:
    """Equal both ways: neither type may hide a difference from the other."""
    with np.errstate(invalid="ignore"):
        np.testing.assert_array_equal(found, expected.astype(found.dtype))
        np.testing.assert_array_equal(found.astype(expected.dtype), expected)
    if expected.dtype.kind == "f":
        np.testing.assert_array_equal(np.signbit(found), np.signbit(expected))


def expected_type(kind: str, reach: str, scale: tuple[float, float] | None, values: np.ndarray) -> np.dtype:
    """Floats keep their type; integers become the smallest float that holds them, or stay."""
    if scale is None and kind in FLOATS:
        return np.dtype(kind)
    if scale is None and kind in ("int64", "uint64") and reach == "all":
        return np.dtype(kind)
    if kind in ("float64", "longdouble"):
        return np.dtype(kind)
    small = values.astype(np.float32)
    exact = np.array_equal(small, values, equal_nan=True) if scale else kind[-2:] not in ("32", "64")
    return np.dtype(np.float32) if exact else np.dtype(np.float64)


@pytest.mark.filterwarnings("ignore::RuntimeWarning")  # overflow of the greatest float, scaled
@pytest.mark.parametrize("scale", SCALES)
@pytest.mark.parametrize(("shape", "order"), LAYOUTS, ids=["2-D", "3-D", "4-D big-endian"])
@pytest.mark.parametrize(("kind", "reach"), WHAT)
def test_in_painting_keeps_what_was_measured(tmp_path, source, kind, reach, shape, scale, order):
    path = source(kind, reach, shape, scale, order)
    scan = read_nifti(path)
    expected = real(path, scan.shape)
    assert_same(scan.array, expected)
    hole = np.zeros(scan.shape, bool)
    for index, volume in product(range(scan.count("axial")), range(scan.volumes)):
        piece = scan.slice("axial", index, volume)
        missing = np.zeros(piece.image.shape, bool)
        missing[2:4, 1:3] = True
        estimate = np.where(missing, np.float64(0.3), piece.image)  # what becomes of a slice in floats
        scan = scan.with_slice(piece, estimate, ~missing)
        placed = np.zeros(scan.shape, np.float32)
        placed = type(scan)(placed, scan.affine).with_slice(piece, missing)
        hole |= placed.array > 0
    assert hole.sum() == 4 * scan.count("axial") * scan.volumes
    written = write_nifti(scan, tmp_path / "restored.nii.gz")
    found = real(written, scan.shape)
    assert_same(found[~hole], expected[~hole])
    assert_same(read_nifti(written).array, found)
    assert found.dtype == expected_type(kind, reach, scale, expected)
    restored = 0.3 if found.dtype.kind == "f" else 0
    np.testing.assert_allclose(found[hole].astype(float), restored, rtol=1e-6)
    assert any("rounded" in note for note in scan.notes) == (found.dtype.kind != "f")


@pytest.mark.parametrize(("kind", "reach"), WHAT)
def test_untouched_slices_stay_as_they_are(tmp_path, source, kind, reach):
    path = source(kind, reach, (6, 5, 4), None, "<")
    scan = read_nifti(path)
    piece = scan.slice("axial", 0)
    written = write_nifti(scan.with_slice(piece, np.full(piece.image.shape, 7.0)), tmp_path / "restored.nii")
    found, expected = (real(file, scan.shape) for file in (written, path))
    assert_same(found[..., 1:], expected[..., 1:])
    assert (found[..., 0] == 7).all()
