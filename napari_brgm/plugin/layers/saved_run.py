"""SavedRun: what the NIfTI files of one run say of each other, in each sidecar, so that any of them finds the rest.

It comes from a file: names lead nowhere but into its own folder, and what cannot be is not taken.
"""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, Self

import numpy as np
from napari.utils.colormaps import AVAILABLE_COLORMAPS

from napari_brgm.plugin.layers.outcome import COVERED_KEY

if TYPE_CHECKING:
    from pathlib import Path

    import numpy.typing as npt
    from napari.layers import Image

__all__ = ["SavedLayer", "SavedPlane", "SavedRun", "look_of"]

_MOST = 1 << 16  # layers or planes
_BLENDINGS = ("opaque", "translucent", "translucent_no_depth", "additive", "minimum", "multiplicative")
_INTERPOLATIONS = ("nearest", "linear", "cubic")


@dataclass(frozen=True, slots=True)
class SavedLayer:
    """A layer: its file and how it looks (name, visibility, colours ...), as settings of a new one.

    ``space``: how many of its axes are of space, 2 or 3, where it was one slice thick; 0: not told.
    """

    file: str
    look: dict[str, Any]
    space: int = 0


@dataclass(frozen=True, slots=True)
class SavedPlane:
    """A restored plane: the file of its posterior, and its place among the voxels of the images' files.

    Two entries of ``index``, along its rows and columns, are None; a fourth is the volume. ``turned``: whether rows of
    the posterior are a later axis of the file than its columns, and whether the file's first and second axis of the
    plane run backwards in it; the shell writes posteriors as slices are shown, the window along the file's axes.
    """

    file: str
    index: tuple[int | None, ...]
    turned: tuple[bool, bool, bool] = (False, False, False)

    def in_file(self, array: npt.NDArray[Any]) -> npt.NDArray[Any]:
        """An image (.., H, W) of the posterior as it lies along the axes of the file."""
        swap, *backwards = self.turned
        array = np.swapaxes(array, -2, -1) if swap else array
        return np.flip(array, tuple(axis - 2 for axis, flip in enumerate(backwards) if flip))


@dataclass(frozen=True, slots=True)
class SavedRun:
    """One run in files.

    Attributes
    ----------
    run, task, source, units : str
        As of its ``Outcome``; DICOM sources by their series' number.
    layers : tuple of SavedLayer
        At least one, the lowest first.
    mask : str
        Its file; '' where all is synthetic, or none was written.
    planes : tuple of SavedPlane
    pinned : tuple of int or None
        Voxel that the inspector held on to.
    """

    run: str
    task: str
    source: str
    units: str
    layers: tuple[SavedLayer, ...]
    mask: str = ""
    planes: tuple[SavedPlane, ...] = ()
    pinned: tuple[int, ...] | None = None

    def to_dict(self) -> dict[str, Any]:
        """Plain values for a sidecar."""
        return asdict(self)

    @classmethod
    def from_dict(cls, found: dict[str, Any]) -> Self | None:
        """Read what ``to_dict`` gave; None where it is none of that."""
        try:
            layers, planes = found["layers"], found.get("planes") or ()
            if not 0 < len(layers) + len(planes) < _MOST or not layers:
                return None
            return cls(
                str(found["run"]),
                str(found["task"]),
                str(found["source"]),
                str(found["units"]),
                tuple(SavedLayer(_file(one["file"]), _look(one["look"]), _space(one)) for one in layers),
                _file(found["mask"]) if found.get("mask") else "",
                tuple(SavedPlane(_file(one["file"]), _index(one["index"]), _turned(one)) for one in planes),
                voxel_of(found.get("pinned")),
            )
        except (KeyError, TypeError, ValueError, AttributeError, OverflowError):
            return None

    @classmethod
    def beside(cls, path: Path) -> Self | None:
        """The run that a NIfTI file says it is of; None where it says none."""
        from napari_brgm.scans.record import run_beside

        found = run_beside(path)
        return cls.from_dict(found) if found else None

    @property
    def flat(self) -> dict[str, bool]:
        """Whether an image that is one slice thick is to be shown in its own plane, by its file."""
        told = {layer.file: layer.space != 3 for layer in self.layers}
        return told | ({self.mask: told[self.layers[0].file]} if self.mask else {})

    @property
    def images(self) -> list[str]:
        """Files that are opened as layers."""
        return [*([self.mask] if self.mask else []), *(layer.file for layer in self.layers)]


def look_of(layer: Image, name: str) -> dict[str, Any]:
    """How a layer looks, in plain values; ``name`` is what it is to be called when it is opened again."""
    return {
        "name": name,
        "visible": bool(layer.visible or layer.metadata.get(COVERED_KEY)),
        "opacity": float(layer.opacity),
        "blending": str(layer.blending),
        "gamma": float(layer.gamma),
        "colormap": str(layer.colormap.name),
        "contrast_limits": [float(limit) for limit in layer.contrast_limits],
        "interpolation2d": str(getattr(layer.interpolation2d, "value", layer.interpolation2d)),
    }


def _look(found: dict[str, Any]) -> dict[str, Any]:
    """What of it can be."""
    limits = found.get("contrast_limits")
    fine = {
        "name": isinstance(found.get("name"), str) and 0 < len(found["name"]) < 1000,
        "visible": isinstance(found.get("visible"), bool),
        "opacity": _number(found.get("opacity")) and 0 <= found["opacity"] <= 1,
        "blending": found.get("blending") in _BLENDINGS,
        "gamma": _number(found.get("gamma")) and 0.01 <= found["gamma"] <= 100,
        "colormap": found.get("colormap") in AVAILABLE_COLORMAPS,  # the tint of an uncertainty is given by its role
        "contrast_limits": isinstance(limits, list) and len(limits) == 2 and all(map(_number, limits))
        and limits[0] < limits[1],
        "interpolation2d": found.get("interpolation2d") in _INTERPOLATIONS,
    }  # fmt: skip
    return {key: found[key] for key, good in fine.items() if good}


def _space(found: dict[str, Any]) -> int:
    told = found.get("space")
    return told if told in (2, 3) else 0


def _number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def _file(name: object) -> str:
    """ValueError unless it is the name of a file in the same folder."""
    if not isinstance(name, str) or not name or name in (".", "..") or set(name) & set("/\\:\0"):
        raise ValueError("no name of a file")
    return name


def _index(found: object) -> tuple[int | None, ...]:
    if not isinstance(found, list) or len(found) not in (3, 4) or found[:3].count(None) != 2:
        raise ValueError("no place of a plane")
    return tuple(None if i is None else int(i) for i in found)


def voxel_of(found: object) -> tuple[int, ...] | None:
    """A voxel that a record tells; None where it tells none."""
    fine = isinstance(found, list) and all(isinstance(i, int) and not isinstance(i, bool) for i in found)
    return tuple(found) if isinstance(found, list) and fine else None


def _turned(found: dict[str, Any]) -> tuple[bool, bool, bool]:
    turned = found.get("turned", [False] * 3)
    if not isinstance(turned, list | tuple) or len(turned) != 3 or not all(isinstance(one, bool) for one in turned):
        raise ValueError("no way in which a plane is turned")
    swap, first, second = turned
    return swap, first, second
