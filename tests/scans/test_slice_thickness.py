"""Thickness of slices as DICOM files say it, which is not their distance."""

from __future__ import annotations

import numpy as np
import pytest
from pydicom.dataset import Dataset

from napari_brgm.scans import read_scan
from napari_brgm.scans.slice_thickness import slice_thickness

PIXELS = np.arange(12, dtype=np.uint16).reshape(3, 4)


@pytest.mark.parametrize(
    ("told", "found"),
    [((3, 3, 3), 3.0), ((3, 3.001, 3), 3.0), ((3, 2, 3), None), ((3, "", 3), None), ((0, 0, 0), None)],
)
def test_of_a_series(write_dicom, tmp_path, told, found):
    for k, thickness in enumerate(told):
        place = {"ImagePositionPatient": [0.0, 0.0, 5.0 * k], "InstanceNumber": k}
        write_dicom(f"{k}", PIXELS, tmp_path / "s", SliceThickness=thickness, SpacingBetweenSlices=5, **place)
    (scan,) = read_scan(tmp_path / "s")
    assert slice_thickness(scan.header) == found


def item(**elements):
    made = Dataset()
    for keyword, value in elements.items():
        setattr(made, keyword, value)
    return [made]


def test_of_an_enhanced_file(write_dicom):
    frames = [item(PlanePositionSequence=item(ImagePositionPatient=[0, 0, 5 * k]))[0] for k in range(3)]
    shared = item(
        PixelMeasuresSequence=item(PixelSpacing=[2.0, 0.5], SliceThickness=4),
        PlaneOrientationSequence=item(ImageOrientationPatient=[1, 0, 0, 0, 1, 0]),
    )
    path = write_dicom(
        "a.dcm", np.stack([PIXELS] * 3), SharedFunctionalGroupsSequence=shared, PerFrameFunctionalGroupsSequence=frames,
        NumberOfFrames=3, PixelSpacing=None, ImagePositionPatient=None, ImageOrientationPatient=None,
    )  # fmt: skip
    (scan,) = read_scan(path)
    assert slice_thickness(scan.header) == 4.0


def test_others_do_not_say_it():
    assert slice_thickness(None) is None
