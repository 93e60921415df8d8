"""Which way the patient lies on the screen: the letters at the edges of the canvas.

    direction in the patient (RAS+) = affine of the scan . index step, and the index step is what the layer's own place
    (scale, rotate, shear, affine) makes of a step on the screen

A letter is shown where the file says it, never where a reader had to guess.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
from napari.layers import Image

if TYPE_CHECKING:
    from collections.abc import Iterable

    from napari.components import Dims
    from napari.layers import Layer

__all__ = ["EDGES", "Edges", "axis_way", "edges_of", "letters_of", "says_orientation"]

EDGES = ("left", "right", "top", "bottom")
_LETTERS = (("L", "R"), ("P", "A"), ("I", "S"))  # against and along x, y, z of RAS+
_AXES = {frozenset(pair): axis for axis, pair in enumerate(_LETTERS)}
_OBLIQUE = 0.342  # share of a second direction from which it is named too: 20 degrees
_FEWEST = 0.05  # share of a direction that must lie in the axes of space
_LEADING = frozenset({"t", "time", "volume", "sample"})

Vector = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Edges:
    """Letters at the four edges of the canvas; '' where nothing is known."""

    left: str = ""
    right: str = ""
    top: str = ""
    bottom: str = ""


def edges_of(layers: Iterable[Layer], dims: Dims, flips: tuple[bool, bool] = (False, False)) -> Edges:
    """Letters for the layers that are visible.

    Parameters
    ----------
    layers : iterable of Layer
    dims : Dims
        Of the viewer: the axes that are displayed.
    flips : (bool, bool)
        Whether the camera shows rows upwards, and columns to the left.

    Returns
    -------
    Edges
        Empty in three dimensions, where no visible layer is known to lie in the patient, and where one of them is
        known to be a guess; '' at edges about which layers disagree.
    """
    if dims.ndisplay != 2:
        return Edges()
    known: list[tuple[Vector, Vector]] = []
    for layer in layers:
        if not layer.visible:
            continue
        steps = _index_to_patient(layer)
        if steps is None:
            continue
        turned = None if not steps.size else _on_screen(layer, steps, dims, flips)
        if turned is None:
            return Edges()
        known.append(turned)
    if not known:
        return Edges()
    down = _agreed([letters_of(way) for way, _ in known]), _agreed([letters_of(-way) for way, _ in known])
    right = _agreed([letters_of(way) for _, way in known]), _agreed([letters_of(-way) for _, way in known])
    return Edges(left=right[1], right=right[0], top=down[1], bottom=down[0])


def letters_of(way: npt.ArrayLike) -> str:
    """Letters of a direction (3,) in RAS+, the nearest first; a second one where it is oblique.

    Examples
    --------
    >>> letters_of([-1, 0, 0]), letters_of([0, 0.8, -0.6]), letters_of([0, 0, 0])
    ('L', 'AI', '')
    """
    way = np.asarray(way, dtype=float)
    length = float(np.linalg.norm(way))
    if not (np.isfinite(length) and length > 0):
        return ""
    way = way / length
    order = np.argsort(-np.abs(way), kind="stable")[:2]
    return "".join(_LETTERS[axis][int(way[axis] > 0)] for axis in order if abs(way[axis]) >= _OBLIQUE)


def axis_way(label: object) -> tuple[str, str] | None:
    """Where an axis comes from and runs to, by its name; None for other names.

    Examples
    --------
    >>> axis_way("A-P"), axis_way("y")
    (('A', 'P'), None)
    """
    text = str(label).upper()
    known = len(text) == 3 and text[1] == "-" and frozenset((text[0], text[2])) in _AXES
    return (text[0], text[2]) if known else None


def says_orientation(header: object) -> bool:
    """Whether a file says which way the patient lies: a NIfTI header, or the DICOM datasets of a scan.

    Parameters
    ----------
    header : object or None
        As a scan keeps it; None (a scan that no file holds) is taken at its word.
    """
    if header is None:
        return True
    if hasattr(header, "get_qform"):
        codes = [int(header[name]) for name in ("sform_code", "qform_code")]  # type: ignore[index]
        return any(code > 0 for code in codes)
    if hasattr(header, "get_base_affine"):  # Analyze and the like have no left and right
        return False
    datasets = header if isinstance(header, list | tuple) else (header,)
    return bool(datasets) and all(hasattr(dataset, "get") and _placed(dataset) for dataset in datasets)


def _placed(dataset: Any) -> bool:
    """Whether a DICOM dataset says how its image lies in the patient (PS3.3 C.7.6.2, C.7.6.16.2.4, C.7.6.1.1.1)."""
    shared, frames = (
        dataset.get(name) or () for name in ("SharedFunctionalGroupsSequence", "PerFrameFunctionalGroupsSequence")
    )
    detectors = dataset.get("DetectorInformationSequence") or ()
    own = any(_cosines(one) or one.get("PatientOrientation") for one in (dataset, *detectors))
    return own or any(_in_group(group) for group in shared) or (bool(frames) and all(map(_in_group, frames)))


def _in_group(group: Any) -> bool:
    return any(_cosines(one) for one in group.get("PlaneOrientationSequence") or ())


def _cosines(dataset: Any) -> bool:
    try:
        cosines = np.asarray(dataset.get("ImageOrientationPatient"), dtype=float)
    except (TypeError, ValueError):
        return False
    return cosines.shape == (6,) and bool(np.isfinite(cosines).all()) and bool(cosines.any())


def _index_to_patient(layer: Layer) -> npt.NDArray[np.float64] | None:
    """(3, n): RAS+ direction of a step along each data axis; empty where it is a guess, None where nothing is said."""
    guess, steps = np.empty((0, 0)), np.zeros((3, layer.ndim))
    space = [axis for axis in range(layer.ndim) if str(layer.axis_labels[axis]).lower() not in _LEADING][-3:]
    scan = layer.metadata.get("scan")
    if isinstance(scan, dict) and np.shape(scan.get("affine", ())) == (4, 4):
        if not says_orientation(scan.get("header")):
            return guess
        steps[:, space] = np.asarray(scan["affine"], dtype=float)[:3, 3 - len(space) : 3]
        return steps if np.isfinite(steps).all() else guess
    if "brgm" in layer.metadata or not isinstance(layer, Image):  # a map or a mask: what it lies on says it
        return None
    for axis in space:
        way = axis_way(layer.axis_labels[axis])
        if way is not None:
            world = _AXES[frozenset(way)]
            steps[world, axis] = 1.0 if way[1] == _LETTERS[world][1] else -1.0
    return steps if steps.any() else None


def _on_screen(
    layer: Layer, steps: npt.NDArray[np.float64], dims: Dims, flips: tuple[bool, bool]
) -> tuple[Vector, Vector] | None:
    """Directions in the patient of a step down and to the right on the screen; None where the axes are not of space."""
    n, ways = layer.ndim, []
    origin = np.asarray(layer.world_to_data(np.zeros(n)), dtype=float)
    for axis, flipped in zip(dims.displayed, flips, strict=True):
        own = axis - (dims.ndim - n)
        if own < 0:
            return None
        index = np.asarray(layer.world_to_data(np.eye(n)[own]), dtype=float) - origin
        in_space = np.linalg.norm(index[np.any(steps != 0, axis=0)])
        if not (np.isfinite(index).all() and in_space > _FEWEST * np.linalg.norm(index)):
            return None
        ways.append(steps @ index * (-1.0 if flipped else 1.0))
    return ways[0], ways[1]


def _agreed(letters: list[str]) -> str:
    """Letters that all layers have; the first alone where they differ in how oblique they are."""
    if len(set(letters)) == 1:
        return letters[0]
    first = {each[:1] for each in letters}
    return first.pop() if len(first) == 1 else ""
