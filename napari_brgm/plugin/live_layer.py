"""One layer over the planes of a run, filled plane by plane so that the window never waits; what is on show is first.

It covers the block that the planes span, on the exact grid of the run's layers. The person may delete it at any time.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from napari_brgm.plugin.geometry import geometry
from napari_brgm.plugin.layers import stored
from napari_brgm.plugin.results import NOTICE

if TYPE_CHECKING:
    from collections.abc import Callable

    from napari.components import ViewerModel
    from napari.layers import Layer

    from napari_brgm.plugin.posterior_planes import PosteriorPlane
    from napari_brgm.plugin.runs import Run

    Compute = Callable[[PosteriorPlane], npt.NDArray[Any]]
    Add = Callable[..., Layer]

__all__ = ["LiveLayer"]


class LiveLayer:
    """Adds its layer when first shown, and keeps it up to date in place.

    Parameters
    ----------
    viewer : ViewerModel
    role : str
        In the layer's metadata.
    dtype : data-type
    add : callable
        Adds the layer: data and keyword arguments -> layer.
    """

    def __init__(self, viewer: ViewerModel, role: str, dtype: npt.DTypeLike, add: Add) -> None:
        self._viewer, self._role, self._dtype, self._add = viewer, role, dtype, add
        self._layer: Layer | None = None
        self._pending: list[PosteriorPlane] = []
        self._name, self._start = "", [0]
        self.run: Run | None = None

    @property
    def layer(self) -> Layer | None:
        """The layer; None when it is not in the viewer."""
        return self._layer if self._layer is not None and self._layer in self._viewer.layers else None

    @property
    def pending(self) -> bool:
        """Whether planes are left to be computed."""
        return bool(self._pending) and self.layer is not None

    def show(self, run: Run, what: str, record: dict[str, Any], compute: Compute) -> None:
        """Show ``compute`` of each plane of a run; ``work`` does it."""
        name = f"{run.source} [{what}, synthetic]"
        if self.layer is None or self.run is not run:
            self.remove()
            self._make(run, name)
        layer = self.layer
        assert layer is not None
        if self._name != name:  # else a name that the person gave it stays
            layer.name = self._name = name
        own = {"notice": NOTICE, "role": self._role, "task": run.task, "source_layer": run.source, "of_run": run.key}
        layer.metadata["brgm"] = own | record
        self._compute = compute
        self._pending = run.nearest_first(self._viewer.dims)

    def work(self, seconds: float) -> None:
        """Compute planes until none is left or the time is up; at least one."""
        layer, end = self.layer, time.monotonic() + seconds
        if layer is None or not self._pending:
            return
        while True:
            plane = self._pending.pop(0)
            pairs = zip(plane.index, self._start, strict=True)
            place = tuple(i if isinstance(i, slice) else i - start for i, start in pairs)
            layer.data[place] = self._compute(plane)
            if not self._pending or time.monotonic() > end:
                break
        layer.refresh(highlight=False, extent=False)

    def forget(self) -> None:
        """Leave the layer as it is."""
        self._layer, self.run, self._pending = None, None, []

    def remove(self) -> None:
        """Take the layer away."""
        layer = self.layer
        self.forget()
        if layer is not None:
            self._viewer.layers.remove(layer)

    def _make(self, run: Run, name: str) -> None:
        whole = stored(run.base).shape
        index = [[0 if isinstance(i, slice) else i for i in plane.index] for plane in run.planes]
        self._start = np.min(index, axis=0).tolist()
        lengths = (np.max(index, axis=0) - self._start + 1).tolist()
        first = run.planes[0].index
        shape = [n if isinstance(i, slice) else m for i, n, m in zip(first, whole, lengths, strict=True)]
        selected, active = set(self._viewer.layers.selection), self._viewer.layers.selection.active
        self._name, self.run = name, run
        place = geometry(run.base, start=self._start)
        metadata = {"brgm": {"role": self._role}}
        self._layer = self._add(np.zeros(shape, self._dtype), run, name=name, metadata=metadata, **place)
        self._viewer.layers.selection = selected  # to look must not take the brush out of the hand
        self._viewer.layers.selection.active = active
