"""What a prior was made for, and which settings suit it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from napari_brgm.calibration import Calibration

__all__ = ["PriorInfo"]


@dataclass(frozen=True, slots=True)
class PriorInfo:
    """What a prior was made for, as its model card says it.

    Attributes
    ----------
    name, modality, plane : str
        For example 'brain-axial-128', 'MR T1', 'axial'.
    spacing_mm : float
        Pixel size of the generator frame in mm; 0 if unknown.
    representation_sigma : float
        Standard deviation, in grey levels of the 0..255 frame, of what the generator cannot draw, as tuned on training
        subjects (an effective white-noise level: the residual is correlated).
    weights_sha256 : str
        Of the file the prior was loaded from; empty if made in memory.
    rotation : float
        Degrees, 0 or 180, by which its images are turned against the way radiologists look at such a plane.
    misfit_limit : float
        Misfit (engine/misfit.py) that slices of held-out subjects hardly exceed; 0 if it was not measured.
    suspect_limit : float
        What tissue of held-out subjects hardly exceeds of what the prior cannot explain (engine/suspects.py); 0 if it
        was not measured.
    calibration : Calibration or None
        Conformal factors of the intervals; None if they were not measured.
    preset : str
        Name of the settings that suit it (settings.py); set by its family.
    family : str
        Name of the family (zoo/families) that reads and writes it; set by that family.
    anatomy : bool
        False for an untrained network, which knows no anatomy and takes a slice's own grid as its frame.
    """

    name: str
    modality: str = ""
    plane: str = ""
    spacing_mm: float = 0.0
    bright_level: float = 230.0  # grey level of the 99th percentile of tissue in the training slices
    representation_sigma: float = 10.0
    weights_sha256: str = ""
    rotation: float = 0.0
    misfit_limit: float = 0.0
    suspect_limit: float = 0.0
    calibration: Calibration | None = None
    preset: str = "default"
    family: str = ""
    anatomy: bool = True
