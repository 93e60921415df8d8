"""Measured pixels keep their stored values and real values bit for bit in a derived series, whatever their type."""

from __future__ import annotations

import warnings
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pydicom
import pytest
from pydicom.dataset import Dataset

from napari_brgm.errors import OutputError
from napari_brgm.scans import read_scan
from napari_brgm.scans.dicom_export import write_dicom as write_series

if TYPE_CHECKING:
    from pathlib import Path

    from napari_brgm.scan import Scan

RECORD = {"notice": "Synthetic.", "software": {"name": "napari-brgm", "version": "0"}, "task": "in-paint",
          "role": "restored"}  # fmt: skip
BITS = [(8, 8), (8, 7), (16, 8), (16, 10), (16, 12), (16, 15), (16, 16), (32, 12), (32, 24), (32, 32), (64, 64)]
SCALES = [None, (1, -1024), (0.1, -7), (2.5, 0), (-1, 3), (0.00244200244, 1e6)]
WAYS = [(*bits, scale) for bits in BITS for scale in SCALES if scale is None or bits != (64, 64)]  # 64: no way back
FLOATS = {"float32": "FloatPixelData", "float64": "DoubleFloatPixelData"}


def limits(bits: int, signed: bool) -> tuple[int, int]:
    return (-(2 ** (bits - 1)), 2 ** (bits - 1) - 1) if signed else (0, 2**bits - 1)


def integers(allocated: int, bits: int, signed: bool, shape: tuple[int, ...] = (7, 9)) -> np.ndarray:
    """Random pixels over the whole range of the bits, its limits among them."""
    low, high = limits(bits, signed)
    dtype = np.dtype(f"{'i' if signed else 'u'}{allocated // 8}")
    pixels = np.random.default_rng(0).integers(low, high, shape, dtype, endpoint=True)
    pixels.flat[:4] = [low, high, high - 1, low + 1]
    return pixels


def elements(bits: int, scale: tuple[float, float] | None = None, **others: Any) -> dict[str, Any]:
    rescale = {} if scale is None else {"RescaleSlope": str(scale[0]), "RescaleIntercept": str(scale[1])}
    return {"BitsStored": bits, "HighBit": bits - 1, **rescale, **others}


def floats(pixels: np.ndarray, **others: Any) -> dict[str, Any]:
    gone = dict.fromkeys(("PixelData", "BitsStored", "HighBit", "PixelRepresentation"))
    return {**gone, FLOATS[str(pixels.dtype)]: pixels.tobytes(), **others}


def in_painted(scan: Scan, values: float | np.ndarray) -> tuple[Scan, np.ndarray]:
    """A scan with a hole in its first slice as ``restore`` fills it, and the hole (columns, rows, slices)."""
    piece = scan.slice("axial", 0)
    missing = np.zeros(piece.image.shape, bool)
    missing[3:6, 2:5] = True
    placed = replace(scan, array=np.zeros(scan.shape)).with_slice(piece, missing)
    filled = scan.with_slice(piece, np.broadcast_to(values, missing.shape).astype(float), ~missing)
    return replace(filled, provenance=RECORD), placed.array > 0


def derived(scan: Scan, path: Path) -> tuple[Scan, pydicom.Dataset]:
    (file,) = write_series(scan, path)
    (back,) = read_scan(file)
    return back, pydicom.dcmread(file)


@pytest.mark.parametrize("signed", [False, True], ids=["unsigned", "signed"])
@pytest.mark.parametrize(("allocated", "bits", "scale"), WAYS)
def test_integers_of_all_kinds(tmp_path, write_dicom, allocated, bits, signed, scale) -> None:
    pixels = integers(allocated, bits, signed)
    (scan,) = read_scan(write_dicom("a.dcm", pixels, **elements(bits, scale)))
    slope, intercept = scale or (1, 0)
    expected = pixels if scale is None else pixels.astype(np.float64) * slope + intercept
    np.testing.assert_array_equal(scan.array[..., 0].T, expected.astype(scan.array.dtype))
    np.testing.assert_array_equal(scan.array[..., 0].T.astype(expected.dtype), expected)
    result, hole = in_painted(scan, sum(limits(bits, signed)) / 2 * slope + intercept + 0.3 * slope)
    back, written = derived(result, tmp_path / "out.dcm")
    kept = ~hole[..., 0].T
    np.testing.assert_array_equal(written.pixel_array[kept], pixels[kept])
    assert back.array[~hole].tobytes() == scan.array[~hole].tobytes()
    for keyword in ("BitsAllocated", "BitsStored", "HighBit", "PixelRepresentation", "RescaleSlope"):
        assert written.get(keyword) == scan.header[0].get(keyword)
    tolerance = 0.51 * abs(slope) + 1e-7 * abs(result.array).max()
    np.testing.assert_allclose(back.array[hole].astype(float), result.array[hole].astype(float), rtol=0, atol=tolerance)


@pytest.mark.parametrize("signed", [False, True], ids=["unsigned", "signed"])
@pytest.mark.parametrize(("allocated", "bits"), BITS[:-1])
def test_inverted_films(tmp_path, write_dicom, allocated, bits, signed) -> None:
    pixels = integers(allocated, bits, signed)
    inverted = elements(bits, PhotometricInterpretation="MONOCHROME1", Modality="CR")
    (scan,) = read_scan(write_dicom("a.dcm", pixels, **inverted))
    result, hole = in_painted(scan, sum(limits(bits, signed)) / 2)
    back, written = derived(result, tmp_path / "out.dcm")
    np.testing.assert_array_equal(written.pixel_array[~hole[..., 0].T], pixels[~hole[..., 0].T])
    assert back.array[~hole].tobytes() == scan.array[~hole].tobytes()


@pytest.mark.parametrize("over", [-3.0, 70000.0, -1e12, 1e12])
@pytest.mark.parametrize("signed", [False, True], ids=["unsigned", "signed"])
@pytest.mark.parametrize(("allocated", "bits"), BITS[:-1])
def test_what_is_restored_beyond_the_range_never_costs_the_measured(
    tmp_path, write_dicom, allocated, bits, signed, over
) -> None:
    pixels = integers(allocated, bits, signed)
    (scan,) = read_scan(write_dicom("a.dcm", pixels, **elements(bits, (0.1, -7))))
    low, high = limits(bits, signed)
    result, hole = in_painted(scan, np.where(np.arange(9) % 2, over, 0.1 * (low + high) / 2 - 7))
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        back, written = derived(result, tmp_path / "out.dcm")
    np.testing.assert_array_equal(written.pixel_array[~hole[..., 0].T], pixels[~hole[..., 0].T])
    assert back.array[~hole].tobytes() == scan.array[~hole].tobytes()
    low, high = limits(written.BitsStored, bool(written.PixelRepresentation))
    exact = np.rint((result.array[hole] + 7) / 0.1)
    wanted = exact.clip(low, high)  # cut off, not wrapped round
    np.testing.assert_array_equal(written.pixel_array.T[..., None][hole], wanted)
    cut = int((exact != wanted).sum())  # and never in silence
    assert [str(one.message).split(" of ")[0] for one in told] == ([f"{cut} restored pixels"] if cut else [])


def special(kind: str) -> np.ndarray:
    pixels = np.random.default_rng(0).normal(size=(7, 9)).astype(kind) * np.dtype(kind).type(1e3)
    pixels.flat[:6] = [-0.0, np.finfo(kind).max, np.finfo(kind).tiny / 8, np.nan, -np.inf, 0.1]
    return pixels


@pytest.mark.parametrize("kind", FLOATS)
def test_float_pixels_stay_what_they_are(tmp_path, write_dicom, kind) -> None:
    pixels = special(kind)
    (scan,) = read_scan(write_dicom("a.dcm", pixels, **floats(pixels, RealWorldValueMappingSequence=[Dataset()])))
    assert scan.array[..., 0].T.tobytes() == pixels.tobytes()
    result, hole = in_painted(scan, 1 / 3)
    back, written = derived(result, tmp_path / "out.dcm")
    assert back.array.tobytes() == result.array.tobytes()
    assert back.array[~hole].tobytes() == scan.array[~hole].tobytes()
    assert FLOATS[kind] in written
    assert "RealWorldValueMappingSequence" in written
    for keyword in ("PixelData", "BitsStored", "HighBit", "PixelRepresentation"):
        assert keyword not in written


@pytest.mark.parametrize("kind", FLOATS)
def test_a_scale_of_float_pixels_is_done_with(tmp_path, write_dicom, kind) -> None:
    pixels = special(kind)
    pixels.flat[1] = 5
    scale = {"RescaleSlope": "0.1", "RescaleIntercept": "1e5"}
    (scan,) = read_scan(write_dicom("a.dcm", pixels, **floats(pixels, **scale)))
    np.testing.assert_array_equal(scan.array[..., 0].T, pixels.astype(np.float64) * 0.1 + 1e5)
    result, hole = in_painted(scan, 1 / 3)
    back, written = derived(result, tmp_path / "out.dcm")
    assert back.array[~hole].tobytes() == scan.array[~hole].tobytes()
    assert (written.RescaleSlope, written.RescaleIntercept) == (1, 0)


def test_uncertainty_of_float_pixels_is_float(tmp_path, write_dicom) -> None:
    pixels = special("float64")
    (scan,) = read_scan(write_dicom("a.dcm", pixels, **floats(pixels, RealWorldValueMappingSequence=[Dataset()])))
    values = np.random.default_rng(1).gamma(0.5, 1e-9, scan.shape).astype(np.float32)
    spread = replace(scan, array=values, provenance=RECORD | {"role": "variance"})
    back, written = derived(spread, tmp_path / "out.dcm")
    assert back.array.tobytes() == values.tobytes()
    assert "RealWorldValueMappingSequence" not in written


def test_values_that_are_not_finite_need_float_pixels(tmp_path, write_dicom) -> None:
    (scan,) = read_scan(write_dicom("a.dcm", integers(16, 16, False)))
    with pytest.raises(OutputError, match="not finite"):
        write_series(replace(scan, array=scan.array * np.nan, provenance=RECORD), tmp_path / "out.dcm")


def item(**elements: Any) -> list[Dataset]:
    dataset = Dataset()
    for keyword, value in elements.items():
        setattr(dataset, keyword, value)
    return [dataset]


@pytest.mark.parametrize("kind", [*FLOATS, "uint16"])
def test_enhanced_frames_with_scales_of_their_own(tmp_path, write_dicom, kind) -> None:
    shape = (3, 7, 9)
    pixels = integers(16, 16, False, shape) if kind == "uint16" else np.stack([special(kind)] * 3)
    slopes = (0.1, 1, 2.7) if kind == "uint16" else (1, 1, 1)
    shared = item(
        PixelMeasuresSequence=item(PixelSpacing=[2.0, 0.5], SliceThickness=9),
        PlaneOrientationSequence=item(ImageOrientationPatient=[1, 0, 0, 0, 1, 0]),
    )
    frames = [
        item(
            PlanePositionSequence=item(ImagePositionPatient=[0, 0, 2 * z]),
            PixelValueTransformationSequence=item(RescaleSlope=slope, RescaleIntercept=0, RescaleType="US"),
        )[0]
        for z, slope in enumerate(slopes)
    ]
    groups = {
        "SharedFunctionalGroupsSequence": shared, "PerFrameFunctionalGroupsSequence": frames,
        "NumberOfFrames": 3, "PixelSpacing": None, "ImagePositionPatient": None, "ImageOrientationPatient": None,
    }  # fmt: skip
    others = elements(16) if kind == "uint16" else floats(pixels)
    (scan,) = read_scan(write_dicom("a.dcm", pixels, **groups, **others))
    result, hole = in_painted(scan, 7.3)
    back, written = derived(result, tmp_path / "out.dcm")
    kept = ~np.moveaxis(hole, (0, 1, 2), (2, 1, 0))
    assert written.pixel_array[kept].tobytes() == pixels[kept].tobytes()
    assert back.array[~hole].tobytes() == scan.array[~hole].tobytes()


def test_slices_of_a_series_with_scales_of_their_own(tmp_path, write_dicom) -> None:
    """As of positron emission: the first slice alone would fit float32."""
    for k, slope in enumerate((1, 0.1, 3.33333)):
        pixels = integers(16, 16, True)
        place = {"ImagePositionPatient": [0.0, 0.0, 2.0 * k], "InstanceNumber": k}
        write_dicom(f"{k}.dcm", pixels, tmp_path / "in", RescaleSlope=slope, RescaleIntercept=0, **place)
    (scan,) = read_scan(tmp_path / "in")
    assert scan.array.dtype == np.float64
    for k, slope in enumerate((1, 0.1, 3.33333)):
        np.testing.assert_array_equal(scan.array[..., k].T, pixels.astype(np.float64) * slope)
    result, hole = in_painted(scan, 7.3)
    files = write_series(result, tmp_path / "out")
    (back,) = read_scan(tmp_path / "out")
    assert back.array[~hole].tobytes() == scan.array[~hole].tobytes()
    for k, file in enumerate(files):
        kept = ~hole[..., k].T
        np.testing.assert_array_equal(pydicom.dcmread(file).pixel_array[kept], pixels[kept])
