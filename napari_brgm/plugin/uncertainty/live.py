"""A layer that shows something of a run's planes, on the exact grid of its layers, filled as they are made.

It covers the block that the planes span. The person may delete it at any time.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from napari_brgm.plugin.layers.geometry import geometry
from napari_brgm.plugin.layers.naming import result_name
from napari_brgm.plugin.layers.results import LAYER_NOTICE
from napari_brgm.plugin.layers.shown import stored

if TYPE_CHECKING:
    from collections.abc import Callable

    from napari.components import ViewerModel
    from napari.layers import Layer

    from napari_brgm.plugin.layers.outcome import RestoredPlane
    from napari_brgm.plugin.uncertainty.making import Compute, MapMaker
    from napari_brgm.plugin.uncertainty.runs import InspectedRun

    Build = Callable[..., Layer]

__all__ = ["LiveLayer"]

_SECONDS = 0.2  # between refreshes while planes come in that may or may not be on the screen


class LiveLayer:
    """Adds its layer when first shown, and keeps it up to date in place.

    Parameters
    ----------
    viewer : ViewerModel
    maker : MapMaker
    role : str
        In the layer's metadata.
    empty : scalar
        What stands where no plane is, of the data's type.
    build : callable
        Makes the layer: data, run and keyword arguments -> layer.
    """

    def __init__(self, viewer: ViewerModel, maker: MapMaker, role: str, empty: np.generic, build: Build) -> None:
        self._viewer, self._maker = viewer, maker
        self._role, self._empty, self._build = role, empty, build
        self._layer: Layer | None = None
        self._name, self._start, self._factor = "", [0], 1
        self._changed = False
        self._refreshed = 0.0
        self.run: InspectedRun | None = None

    @property
    def layer(self) -> Layer | None:
        """The layer; None when it is not in the viewer."""
        return self._layer if self._layer is not None and self._layer in self._viewer.layers else None

    @property
    def pending(self) -> bool:
        """Whether planes are left to be made."""
        return self._maker.makes(self) and self.layer is not None

    def show(
        self,
        run: InspectedRun,
        what: str,
        record: dict[str, Any],
        compute: Compute,
        *,
        below: int | None = None,
        factor: int = 1,
        only_shown: bool = False,
    ) -> None:
        """Show ``compute`` of each plane of a run, the one on the screen first.

        Parameters
        ----------
        what : str
            It is named after that; a name that the person gave it stays.
        record : dict
            What the layer's metadata say besides what all such layers do.
        compute : callable
            Plane -> (factor h, factor w) array; called in a thread.
        below : int or None
            Position among the layers at which a new one is put; None: on top.
        factor : int
            How much finer than the run's the layer's grid is.
        only_shown : bool
            Of the plane on the screen, if there is one: the others stay as they are.
        """
        if self.layer is None or self.run is not run or self._factor != factor:
            self.remove()
            self._make(run, what, below, factor)
        layer = self.layer
        assert layer is not None
        made = {"task": run.outcome.task, "source_layer": run.outcome.source, "of_run": run.key}
        layer.metadata["brgm"] = {"notice": LAYER_NOTICE, "role": self._role} | made | record
        name = result_name(what, run.outcome.source)
        if self._name != name and layer.name == self._name:
            layer.name = self._name = name
        planes = run.nearest_first(self._viewer.dims)
        if only_shown and self._is_shown(planes[0]) is not None:
            planes = planes[:1]
        self._maker.want(self, planes, compute, self._put)

    def follow(self) -> None:
        """Have the planes made first that are nearest to the one on the screen now."""
        run = self.run
        if run is not None and self._maker.makes(self):
            order = {id(plane): place for place, plane in enumerate(run.nearest_first(self._viewer.dims))}
            self._maker.sort(self, lambda plane: order[id(plane)])

    def refresh(self) -> None:
        """Draw what was put in since the last time."""
        layer, done = self.layer, not self._maker.makes(self)
        if layer is None or not (self._changed or done):
            return
        self._changed, self._refreshed = False, time.monotonic()
        layer.refresh(highlight=False, extent=False, thumbnail=done)

    def forget(self) -> None:
        """Leave the layer as it is."""
        self._maker.forget(self)
        self._layer, self.run, self._changed = None, None, False

    def remove(self) -> None:
        """Take the layer away."""
        layer = self.layer
        self.forget()
        if layer is not None:
            self._viewer.layers.remove(layer)

    def _put(self, plane: RestoredPlane, made: npt.NDArray[Any]) -> None:
        layer = self.layer
        if layer is None:
            return
        pairs = zip(plane.index, self._start, strict=True)
        layer.data[tuple(i if isinstance(i, slice) else i - start for i, start in pairs)] = made
        shown = self._is_shown(plane)
        late = time.monotonic() - self._refreshed > _SECONDS
        self._changed = self._changed or bool(shown) or (shown is None and late)

    def _is_shown(self, plane: RestoredPlane) -> bool | None:
        """Whether a plane is the one on the screen; None where the screen shows no single one."""
        run, dims = self.run, self._viewer.dims
        if run is None or dims.ndisplay != 2:
            return None
        own = {axis - (dims.ndim - len(plane.index)) for axis in dims.displayed}
        if own != {axis for axis, i in enumerate(plane.index) if isinstance(i, slice)}:
            return None
        here = run.index(dims, dims.point)
        return all(isinstance(i, slice) or i == np.floor(at + 0.5) for i, at in zip(plane.index, here, strict=True))

    def _make(self, run: InspectedRun, what: str, below: int | None, factor: int) -> None:
        whole, layers = stored(run.base).shape, self._viewer.layers
        index = [[0 if isinstance(i, slice) else i for i in plane.index] for plane in run.planes]
        self._start = np.min(index, axis=0).tolist()
        lengths = (np.max(index, axis=0) - self._start + 1).tolist()
        first = run.planes[0].index
        shape = [factor * n if isinstance(i, slice) else m for i, n, m in zip(first, whole, lengths, strict=True)]
        finer = [factor if isinstance(i, slice) else 1 for i in first]
        selected, active = set(layers.selection), layers.selection.active
        self.run, self._factor, self._refreshed = run, factor, 0.0
        self._name = result_name(what, run.outcome.source)
        place = geometry(run.base, start=self._start, factor=finer)
        metadata = {"brgm": {"role": self._role, "source_layer": run.outcome.source, "of_run": run.key}}
        layer = self._build(np.full(shape, self._empty), run, name=self._name, metadata=metadata, **place)
        self._layer = layer
        layers.insert(len(layers) if below is None else below, layer)
        layers.selection = selected  # to look must not take the brush out of the hand
        if layers.selection.active != active:  # each change takes napari some 20 ms
            layers.selection.active = active
