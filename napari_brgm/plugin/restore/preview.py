"""The slices of a run, and the current estimate as a layer over the one on the screen while the run lasts.

A new layer costs napari a fifth of a second or more, in which the window does not answer: there is one, added before
the run begins, and its pixels are changed in place.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from napari_brgm.engine.measured import check_measured
from napari_brgm.errors import InputError
from napari_brgm.plugin.layers.geometry import plane_data, plane_geometry
from napari_brgm.plugin.layers.naming import result_name
from napari_brgm.plugin.layers.shown import shown_place
from napari_brgm.plugin.layers.tag import mark_synthetic

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy.typing as npt
    from napari.components import ViewerModel
    from napari.layers import Image

    from napari_brgm.engine.job import ObservedSlice
    from napari_brgm.engine.previews import Previews
    from napari_brgm.plugin.layers.shown import ShownSlice

__all__ = ["Part", "Preview"]


class Part(NamedTuple):
    """One slice of a run.

    Attributes
    ----------
    shown : ShownSlice
    observed : ObservedSlice
        The same for the engine; thin slices of a thick one share it.
    missing : (H, W) bool ndarray or None
        In-painting: true where to.
    factor : (float, float)
        Result pixels per pixel along rows and columns.
    wanted : bool
        Whether it becomes a layer; else it is restored for its neighbours' sake.
    guess : (H, W) ndarray or None
        What the hole was filled with while it was painted; no number elsewhere.
    """

    shown: ShownSlice
    observed: ObservedSlice
    missing: npt.NDArray[np.bool_] | None = None
    factor: tuple[float, float] = (1.0, 1.0)
    wanted: bool = True
    guess: npt.NDArray[np.float32] | None = None

    def refused(self, *, flat: bool) -> InputError | None:
        """Why what was measured of it cannot be used, as ``check_measured`` says; None where it can."""
        seen = np.ones(self.shown.image.shape, dtype=bool) if self.missing is None else ~self.missing
        try:
            check_measured(self.shown.image, seen, flat=flat)
        except InputError as error:
            return error
        return None

    def start(self) -> npt.NDArray[np.float32]:
        """What is shown before the first estimate: what was measured, on the result's grid.

        A hole is as it was filled while it was painted, else black.
        """
        image = self.shown.image
        if self.missing is not None:
            black = np.where(self.missing, image.min(), image).astype(np.float32)
            return black if self.guess is None else np.where(self.missing & np.isfinite(self.guess), self.guess, black)
        rows, columns = (
            np.minimum((np.arange(round(n * f)) / f).astype(int), n - 1)
            for n, f in zip(image.shape, self.factor, strict=True)
        )
        return np.ascontiguousarray(image[np.ix_(rows, columns)])


class Preview:
    """Adds its layer at once, showing what was measured; the person may delete it at any time.

    Parameters
    ----------
    parts : sequence of Part
    estimates : Previews
        Of slices of the run (H', W'), as shown, on the result's grid; filled while it lasts.
    """

    def __init__(self, viewer: ViewerModel, source: Image, parts: Sequence[Part], estimates: Previews) -> None:
        self._viewer, self._source, self._estimates = viewer, source, estimates
        self._parts = parts
        self._number = 0  # of the slice that the layer shows
        self._seen: npt.NDArray[np.float32] | None = None  # its estimate
        data = plane_data(source, parts[0].shown, parts[0].start())
        selected, active = set(viewer.layers.selection), viewer.layers.selection.active
        self._layer = viewer.add_image(
            data,
            name=result_name("preview", source.name),
            rgb=False,
            colormap=source.colormap,
            contrast_limits=tuple(source.contrast_limits),
            metadata={"brgm": {"role": "preview"}},
            **self._place(data.shape),
        )
        viewer.layers.selection = selected  # a run must not take the brush out of the hand
        viewer.layers.selection.active = active
        mark_synthetic(viewer)
        viewer.dims.events.current_step.connect(self.look)

    def look(self, event: object = None) -> None:
        """Show the newest estimate of the slice that is nearest to the one on the screen; before it, how it begins."""
        if self._layer not in self._viewer.layers:
            return  # deleted: not wanted
        estimates = dict(self._estimates)  # the run goes on
        number = self._nearest(list(estimates or range(len(self._parts))))
        seen = estimates.get(number)
        if number == self._number and seen is self._seen:
            return
        self._seen = seen
        image = self._parts[number].start() if seen is None else seen
        data = plane_data(self._source, self._parts[number].shown, image)
        if data.shape != self._layer.data.shape:
            self._layer.data = data
        else:
            self._layer.data[...] = data
        if number != self._number:
            self._number = number
            self._layer.translate = self._place(data.shape)["translate"]
        self._layer.refresh(thumbnail=False, highlight=False, extent=False)

    def remove(self) -> None:
        """Take the layer away."""
        self._viewer.dims.events.current_step.disconnect(self.look)
        if self._layer in self._viewer.layers:
            self._viewer.layers.remove(self._layer)

    def _nearest(self, numbers: Sequence[int]) -> int:
        """Of some slices the one nearest to that on the screen; where that cannot be told, the last."""
        if len(numbers) == 1:
            return numbers[0]
        try:
            here = shown_place(self._source, self._viewer.dims)
        except InputError:
            return numbers[-1]
        return min(numbers, key=lambda number: _distance(self._parts[number].shown, here))

    def _place(self, shape: tuple[int, ...]) -> dict[str, object]:
        shown = self._parts[self._number].shown
        return plane_geometry(self._source, shown, (shape[shown.rows], shape[shown.columns]))


def _distance(plane: ShownSlice, here: npt.NDArray[np.float64]) -> float:
    """In slices of the layer, from a plane of it or of a result."""
    across, thinner = plane.thinner
    found = 0.0
    for axis, place in enumerate(plane.index):
        if not isinstance(place, slice):
            own = (place + 0.5) / thinner - 0.5 if axis == across and thinner > 1 else float(place)
            found += abs(own - float(here[axis]))
    return found
