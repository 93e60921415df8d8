"""Regions of a labels layer over a run: which pixels of which slices are theirs, and the draws there.

A pixel of the run is of the region that its centre lies in, whatever grid the labels have. Axes that the labels lack
stay where the viewer is: labels of one plane are about the slice on the screen, and of a time series one time is
measured. Slices that were not restored are as they were measured, where the run's image holds them.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import product
from typing import TYPE_CHECKING, Any, Self

import numpy as np
import numpy.typing as npt

from napari_brgm.errors import InputError
from napari_brgm.plugin.layers.file_axes import count_of_space
from napari_brgm.plugin.layers.scans import scan_record, shown_affine
from napari_brgm.plugin.layers.shown import conversion, stored
from napari_brgm.plugin.uncertainty.runs import data_index

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from napari.components import Dims
    from napari.layers import Image, Labels, Layer

    from napari_brgm.engine.region import RegionDraws
    from napari_brgm.plugin.layers.outcome import RestoredPlane
    from napari_brgm.plugin.uncertainty.runs import InspectedRun

    Index = tuple[int | slice, ...]

__all__ = ["RunRegions"]

_HELD = ("restored", "cleaned")  # roles of images that hold slices which were not restored


@dataclass(frozen=True, slots=True, eq=False)
class RunRegions:
    """What is measured, as it stood when it was asked for; its layers are read later, in another thread.

    Attributes
    ----------
    labels : ndarray
        0 outside, whole numbers inside.
    image : array-like
        Of the run's base layer.
    to_labels : (n, m + 1) ndarray
        Index of a pixel of the image, and 1 -> its index in the labels.
    planes : tuple of (index, RestoredPlane or None)
        Slices of the image, with what was restored of them; None: they are as they were measured.
    volume : float or None
        Of a pixel of the image, mm^3; None: its size is not known.
    units : str
        Of the intensities.
    above : float or None
        Threshold of volumes.
    """

    labels: Any
    image: Any
    to_labels: npt.NDArray[np.float64]
    planes: tuple[tuple[Index, RestoredPlane | None], ...]
    volume: float | None
    units: str
    above: float | None

    @classmethod
    def of(cls, run: InspectedRun, labels: Labels, dims: Dims, above: float | None) -> Self:
        """Those of a labels layer in a viewer.

        Raises
        ------
        InputError
            A volume is wanted and pixels have no size.
        """
        base: Any = run.base
        volume = _volume(base)
        if above is not None and volume is None:
            raise InputError("the pixels of this result have no size in mm; measure without a volume")
        planes = tuple(_planes(run, labels, dims))
        return cls(
            stored(labels), stored(base), _between(base, labels, dims), planes, volume, run.outcome.units, above
        )  # fmt: skip

    def gather(self, tell: Callable[[str, int, int | None], None]) -> dict[int, RegionDraws]:
        """Draws of each region, by its number; ``tell`` hears of slices and may raise ``Cancelled``.

        Raises
        ------
        InputError
            No label lies over the run, or slices differ in their draws or have none.
        """
        from napari_brgm.engine.region import RegionDraws

        found: dict[int, RegionDraws] = {}
        painted = np.asarray(self.labels)
        for done, (index, plane) in enumerate(self.planes):
            tell("measuring", done, len(self.planes))
            regions = self._regions(painted, index)
            numbers = [int(number) for number in np.unique(regions) if number]
            if not numbers:
                continue
            images, measured = self._draws(index, plane)
            for number in numbers:
                draws = found.setdefault(number, RegionDraws(self.units, self.above))
                draws.add(images, regions == number, measured, self.volume or 0.0)
        if not found:
            raise InputError("no label lies over this result; paint the regions, or choose other labels")
        return dict(sorted(found.items()))

    def _draws(self, index: Index, plane: RestoredPlane | None) -> tuple[Any, npt.NDArray[np.bool_] | None]:
        """Images (S, h, w) of a slice, and which pixels of it were measured; None: all."""
        if plane is None:
            return np.asarray(self.image[index])[None], None
        result = plane.looked_at()
        if not len(result.samples):
            raise InputError("a slice of this result has no samples, which intervals of regions are made from")
        return result.samples, np.asarray(result.measured)

    def _regions(self, painted: npt.NDArray[Any], index: Index) -> npt.NDArray[Any]:
        """(h, w): number of the region of each pixel of a slice."""
        pairs = list(zip(index, np.shape(self.image), strict=True))
        own = np.ogrid[tuple(slice(n) if isinstance(i, slice) else slice(i, i + 1) for i, n in pairs)]
        inside: Any = True
        place = []
        for row, length in zip(self.to_labels, painted.shape, strict=True):
            at = sum((factor * axis for factor, axis in zip(row, own, strict=False)), np.float64(row[-1]))
            nearest = np.floor(at + 0.5).astype(np.int64)
            inside = inside & (nearest >= 0) & (nearest < length)
            place.append(np.clip(nearest, 0, length - 1))
        found = np.where(inside, painted[tuple(place)], 0)
        whole = np.broadcast_to(found, [n if isinstance(i, slice) else 1 for i, n in pairs])
        return whole.reshape([n for i, n in pairs if isinstance(i, slice)])


def _planes(run: InspectedRun, labels: Labels, dims: Dims) -> Iterator[tuple[Index, RestoredPlane | None]]:
    """Slices that regions are looked for in."""
    base: Any = run.base
    shape, first = np.shape(stored(base)), run.planes[0].index
    leading = max(base.ndim - count_of_space(base.ndim, base.axis_labels[0]), base.ndim - labels.ndim)
    here = np.floor(data_index(base, dims, dims.point) + 0.5)
    restored = {tuple(i for i in plane.index if not isinstance(i, slice)): plane for plane in run.planes}
    held = str(base.metadata["brgm"].get("role")) in _HELD
    ranges = [
        [int(np.clip(here[axis], 0, n - 1))] if axis < leading else range(n)
        for axis, (own, n) in enumerate(zip(first, shape, strict=True))
        if not isinstance(own, slice)
    ]
    for place in product(*ranges):
        entries = iter(place)
        plane = restored.get(place)
        if plane is not None or held:
            yield tuple(own if isinstance(own, slice) else next(entries) for own in first), plane


def _between(base: Layer, labels: Layer, dims: Dims) -> npt.NDArray[np.float64]:
    """(n, m + 1): from an index of the base layer's data to one of the labels'."""
    ours, theirs = base.ndim, labels.ndim
    world = np.array(dims.point, dtype=float)[-theirs:]
    world = np.concatenate([np.zeros(theirs - len(world)), world])  # of axes that the base lacks
    shared = min(ours, theirs)
    pairs = zip(base.units[ours - shared :], labels.units[theirs - shared :], strict=True)
    units = [conversion(one, other) or 1.0 for one, other in pairs]

    def in_labels(index: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
        point = world.copy()
        point[theirs - shared :] = np.asarray(base.data_to_world(index), dtype=float)[ours - shared :] * units
        return np.asarray(labels.world_to_data(point), dtype=float)

    origin = in_labels(np.zeros(ours))
    return np.column_stack([*(in_labels(unit) - origin for unit in np.eye(ours)), origin])


def _volume(base: Image) -> float | None:
    """Of a pixel, mm^3; None: it has no size, or no thickness."""
    if not scan_record(base):
        import pint

        millimetre = pint.get_application_registry().Unit("mm")
        if base.ndim < 3 or any(conversion(unit, millimetre) is None for unit in base.units[-3:]):
            return None
    return float(abs(np.linalg.det(shown_affine(base)[:3, :3])))
