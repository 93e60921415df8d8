"""The brain of a layer: found in the volume that a run's slices are of, given for each of them as shown."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from napari_brgm.plugin.layers.anatomy import spatial_axes
from napari_brgm.plugin.layers.scans import shown_affine
from napari_brgm.plugin.layers.shown import stored
from napari_brgm.scan import Scan

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    import numpy.typing as npt
    from napari.layers import Image

    from napari_brgm.plugin.layers.shown import ShownSlice
    from napari_brgm.scans.strip import Brain

__all__ = ["brain_finder"]


def brain_finder(
    image: Image, planes: Sequence[tuple[ShownSlice, npt.NDArray[np.bool_] | None]]
) -> Callable[[], list[Brain]]:
    """What finds the brains (H, W) of planes of a layer, as shown; it takes seconds, so in a thread.

    Parameters
    ----------
    image : Image
        Is read here, and not in the thread; lazy data are computed there.
    planes : sequence of (ShownSlice, (H, W) bool ndarray or None)
        Of one volume, at least one, and what is painted on each: it says nothing of where the brain is.
    """
    space = spatial_axes(image)
    where = tuple(slice(None) if axis in space else at for axis, at in enumerate(planes[0][0].index))
    data = stored(image)[where]
    data = data.copy() if isinstance(data, np.ndarray) else data  # the layer may be edited during the run
    affine = shown_affine(image)

    def find() -> list[Brain]:
        from napari_brgm.scans.strip import Brain, find_brain

        volume = np.asarray(data)
        painted = np.zeros(volume.shape, dtype=bool)
        at = [tuple(plane.index[axis] for axis in space) for plane, _ in planes]
        for place, (plane, missing) in zip(at, planes, strict=True):
            if missing is not None:
                painted[place] |= plane.as_stored(missing)
        solid = (1,) * (3 - volume.ndim) + volume.shape
        found = find_brain(Scan(volume.reshape(solid), affine), painted.reshape(solid))
        inside = found.inside.reshape(volume.shape)
        return [
            Brain(np.array(plane.as_shown(inside[place]), order="C"), found.found_by)
            for place, (plane, _) in zip(at, planes, strict=True)
        ]

    return find
