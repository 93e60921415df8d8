"""Which DICOM images are projections, which cross-sections: the two need other guesses where no place is known.

A projection (radiograph, fluoroscopy, planar scintigram, scout of a CT) has no place in space; it is laid upright, as
its PatientOrientation says or else frontal. A cross-section without a place is one of several that belong together.

Source: DICOM PS3.3 C.7.6.1.1.1 (patient orientation), C.8.4.9 (types of NM images); PS3.4 B.5 (SOP classes).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

import numpy as np
import numpy.typing as npt

if TYPE_CHECKING:
    from pydicom.dataset import Dataset

__all__ = ["Beam", "beam_of", "patient_axes", "upright_axes"]

Beam = Literal["projection", "section", "unknown"]

_STORAGE = "1.2.840.10008.5.1.4.1.1."
_CLASSES: dict[str, str] = {"2": "CT", "4": "MR", "128": "PT", "130": "PT", "20": "NM"}  # and their enhanced forms
_SECTIONS = ("MR", "CT", "PT", "NM")
_PROJECTIONS = ("CR", "DX", "DR", "MG", "IO", "PX", "RF", "XA", "RG", "XR", "RTIMAGE")
_PLANAR = ("STATIC", "DYNAMIC", "GATED", "WHOLE BODY", "TOMO", "GATED TOMO")  # NM; TOMO: the views, not the slices
_LETTERS = {"L": (1, 0, 0), "R": (-1, 0, 0), "P": (0, 1, 0), "A": (0, -1, 0), "H": (0, 0, 1), "F": (0, 0, -1)}


def beam_of(dataset: Dataset) -> Beam:
    """Tell projections from cross-sections, by modality, SOP class and image type; 'unknown': ultrasound and others."""
    uid = str(dataset.get("SOPClassUID") or "")
    own = uid.removeprefix(_STORAGE).split(".")[0] if uid.startswith(_STORAGE) else ""
    modality = str(dataset.get("Modality") or "")
    if modality in _PROJECTIONS or own in ("1", "12"):  # computed and digital radiography; angiography, fluoroscopy
        return "projection"
    modality = _CLASSES.get(own, modality)
    words = [str(word) for word in dataset.get("ImageType") or ()]
    planar = modality == "NM" and len(words) > 2 and words[2] in _PLANAR
    if planar or (modality == "CT" and "LOCALIZER" in words):
        return "projection"
    return "section" if modality in _SECTIONS else "unknown"


def patient_axes(dataset: Dataset) -> npt.NDArray[np.float64] | None:
    """LPS directions (2, 3) that PatientOrientation names, to the nearest axis of the body; None if it names none."""
    letters = dataset.get("PatientOrientation") or ()
    if not isinstance(letters, str) and len(letters) == 2 and all(str(letter)[:1] in _LETTERS for letter in letters):
        axes = np.array([_LETTERS[str(letter)[0]] for letter in letters], dtype=float)
        if axes[0] @ axes[1] == 0:
            return axes
    return None


def upright_axes(dataset: Dataset) -> npt.NDArray[np.float64]:
    """Directions of a projection: those that it names, else frontal, so that a coronal slice shows the file's pixels.

    Frontal: columns grow to the patient's left, rows to the feet.
    """
    named = patient_axes(dataset)
    return np.array([_LETTERS["L"], _LETTERS["F"]], dtype=float) if named is None else named
