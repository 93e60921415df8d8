"""Advice before a run: what a person should know of a slice, a mask and a prior that do not suit each other.

Each rule gives one sentence or nothing; a run is never refused for one of them.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from scipy.ndimage import distance_transform_edt

from napari_brgm.engine.extent import hidden_share

if TYPE_CHECKING:
    import numpy.typing as npt

__all__ = ["Circumstances", "advice"]

LARGE_SHARE = 0.35  # of the anatomy; at a half the error on validation slices is that of another person's head
_ALL = 0.995
FINER_THAN_PRIOR = 0.7  # of its pixels: a result that is finer shows nothing more
LITTLE_SHOWN = 0.4  # of the side of the prior's frame; heads that are cut close have 0.6 and more
THICK_HOLE = 12  # pixels across, for a network that has learnt nothing
_RADIOGRAPHS = frozenset({"CR", "DX", "RG", "XR", "RF"})
_SAME_PLANE = {"frontal": "coronal"}


@dataclass(frozen=True, slots=True)
class Circumstances:
    """What is known before a run; empty where it is not.

    Attributes
    ----------
    modality, prior_modality : str
        Of the scan (DICOM: 'MR', 'CT', 'CR', ...) and of the prior ('MR T1').
    plane, prior_plane : str
        'axial', 'coronal' (or 'frontal'), 'sagittal'.
    orientation_fault : str
        What is wrong with the way the slice is shown ('the slice is shown upside down').
    spacing_known : bool
        Whether the pixel size is known.
    needs_spacing : bool
        Whether the prior has a pixel size.
    untrained : bool
        Whether the prior is the untrained network.
    result_mm, prior_mm : float
        Pixel size of the result along its finer axis, where it is finer than the scan's, and of the prior.
    shown_mm, frame_mm : float
        Longer side of the slice, and side of the prior's frame.
    """

    modality: str = ""
    prior_modality: str = ""
    plane: str = ""
    prior_plane: str = ""
    orientation_fault: str = ""
    spacing_known: bool = True
    needs_spacing: bool = True
    untrained: bool = False
    result_mm: float = 0.0
    prior_mm: float = 0.0
    shown_mm: float = 0.0
    frame_mm: float = 0.0


def advice(
    circumstances: Circumstances, image: npt.NDArray[np.floating], missing: npt.NDArray[np.bool_] | None = None
) -> list[str]:
    """Sentences to show before a run, the gravest first.

    Parameters
    ----------
    circumstances : Circumstances
    image : (H, W) array
        The slice, in any units.
    missing : (H, W) bool array, optional
        True where it is to be in-painted.
    """
    c = circumstances
    sentences = []
    if not c.untrained:
        if c.modality and c.prior_modality and not same_modality(c.modality, c.prior_modality):
            sentences.append(
                f"the scan is {c.modality} and the prior knows {c.prior_modality}: what it adds is made up"
            )
        if c.plane and c.prior_plane and not same_plane(c.plane, c.prior_plane):
            sentences.append(f"the slice is {c.plane} and the prior knows {c.prior_plane} slices")
        elif c.orientation_fault:
            sentences.append(f"{c.orientation_fault}; the prior knows anatomy the usual way up")
        if c.needs_spacing and not c.spacing_known:
            sentences.append("the pixel size is not known: it is guessed from the prior's own")
        if 0 < c.result_mm < FINER_THAN_PRIOR * c.prior_mm:
            sentences.append(
                f"the prior knows pixels of {c.prior_mm:.3g} mm: what it adds to pixels of {c.result_mm:.2g} mm is "
                "interpolated"
            )
        if 0 < c.shown_mm < LITTLE_SHOWN * c.frame_mm:
            sentences.append(
                f"the slice shows {c.shown_mm:.0f} mm and the prior knows {c.frame_mm:.0f} mm: so little of it cannot "
                "tell whether the prior suits the scan"
            )
    if missing is not None and missing.any():
        sentences += _about_mask(image, missing, c.untrained)
    return sentences


def same_modality(scan: str, prior: str) -> bool:
    """Whether a DICOM modality is that of a prior: 'MR' is 'MR T1', all kinds of radiographs are alike."""
    own, known = scan.upper().split()[0], prior.upper().split()[0]
    return own == known or {own, known} <= _RADIOGRAPHS


def same_plane(scan: str, prior: str) -> bool:
    """Whether two planes are the same; a frontal radiograph is a coronal plane."""
    return _SAME_PLANE.get(scan, scan) == _SAME_PLANE.get(prior, prior)


def _about_mask(image: npt.NDArray[np.floating], missing: npt.NDArray[np.bool_], untrained: bool) -> list[str]:
    sentences = []
    if not missing.all() and np.isfinite(image[~missing]).all():
        share = hidden_share(image, missing)
        if share > _ALL:
            sentences.append("beside the mask nothing is seen of the anatomy: the result is a guess")
        elif share > LARGE_SHARE:
            sentences.append(f"the mask hides {share:.0%} of the anatomy: most of the result is a guess")
    across = 2 * float(distance_transform_edt(np.pad(missing, 1)).max()) if untrained else 0.0
    if across > THICK_HOLE:
        sentences.append(
            f"the mask is {across:.0f} pixels thick: an untrained network continues edges over {THICK_HOLE} at most, "
            "and turns white or blurred beyond"
        )
    return sentences
