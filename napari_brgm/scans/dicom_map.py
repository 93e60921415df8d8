"""The posterior's standard deviation as a Parametric Map: its very floats, in the units of the scan.

Source: DICOM PS3.3 A.75 (parametric map), C.7.6.16.2.11 (real world value mapping); PS3.16 CID 7181 (units).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from pydicom.sr.codedict import codes
from pydicom.sr.coding import Code

from napari_brgm.scans.dicom_subject import prior_hash, software_version
from napari_brgm.scans.record import SOFTWARE

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pydicom.dataset import Dataset

    from napari_brgm.scans.dicom_derived import Series
    from napari_brgm.scans.dicom_planes import DicomPlane
    from napari_brgm.scans.dicom_subject import DicomSubject

__all__ = ["STD", "parametric_map", "unit_code"]

STD = ("STD", "99BRGM", "Posterior standard deviation")
_UNITS = {
    "HU": "HounsfieldUnit", "BQML": "BecquerelsPerMilliliter", "CNTS": "Counts", "CPS": "CountsPerSecond",
    "PROPCNTS": "ProportionalToCounts", "PROPCPS": "ProportionalToCountsPerSecond", "PCNT": "Percent",
    "GML": "StandardizedUptakeValueBodyWeight", "1": "NoUnits", "NONE": "NoUnits",
}  # fmt: skip
_QUANTITY = Code("386136009", "SCT", "Standard deviation")


def unit_code(units: str) -> Code:
    """UCUM code of the units of a scan; those that have none, as of MR images and radiographs, are arbitrary units.

    Examples
    --------
    >>> unit_code("HU").value, unit_code("a.u.").value
    ("[hnsf'U]", "[arb'U]")
    """
    found: Code = getattr(codes.cid7181, _UNITS.get(units.upper(), "ArbitraryUnit"))
    return found


def parametric_map(
    subject: DicomSubject, std: Sequence[DicomPlane], series: Series, uid: str, number: int
) -> Dataset:  # fmt: skip
    """Make the object; ``std`` are planes on the grid of the subject's, with finite values."""
    from highdicom import VOILUTTransformation
    from highdicom.pm import ParametricMap, RealWorldValueMapping
    from highdicom.sr import CodedConcept

    values = subject.pixels(std).astype(np.float32, copy=False)
    most = float(values.max())
    mapping = RealWorldValueMapping(
        lut_label="STD",
        lut_explanation=f"posterior standard deviation, {series.scan.units}"[:64],
        unit=unit_code(series.scan.units),
        value_range=(0.0, most),
        quantity_definition=_QUANTITY,
    )
    made = ParametricMap(
        subject.stand_ins(),
        values,
        series.uid,
        series.series_number(subject.source),
        uid,
        number,
        f"{SOFTWARE} developers",
        SOFTWARE,
        software_version(series),
        prior_hash(series),
        subject.headers[0].get("RecognizableVisualFeatures") != "NO",  # nobody has looked
        [mapping],
        content_label="STD",
        content_description="Posterior standard deviation; 0: measured. Not for diagnosis",
        derived_pixel_contrast="STD_DEVIATION",
        derivation=CodedConcept(*STD),
        voi_lut_transformations=[VOILUTTransformation(window_center=most / 2, window_width=most or 1.0)],
    )
    made.Laterality = subject.headers[0].get("Laterality")
    subject.finish(made, series, STD)
    return made
