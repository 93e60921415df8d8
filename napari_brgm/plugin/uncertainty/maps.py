"""The layers that show a run's uncertainty: one sample, P(value > threshold), and where the interval is too wide.

Each covers the block that the run's planes span, on the exact grid of its layers, and is filled plane by plane so that
the window never waits; what is on show is first. The person may delete it at any time.
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
    from napari.layers import Image, Labels, Layer
    from napari.utils.colormaps import Colormap

    from napari_brgm.plugin.layers.outcome import RestoredPlane
    from napari_brgm.plugin.uncertainty.runs import InspectedRun

    Compute = Callable[[RestoredPlane], npt.NDArray[Any]]
    Add = Callable[..., Layer]

__all__ = ["LiveLayer", "UncertaintyMaps"]

_CONTOUR = "#00e5ff"


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
        self._pending: list[RestoredPlane] = []
        self._name, self._start = "", [0]
        self.run: InspectedRun | None = None

    @property
    def layer(self) -> Layer | None:
        """The layer; None when it is not in the viewer."""
        return self._layer if self._layer is not None and self._layer in self._viewer.layers else None

    @property
    def pending(self) -> bool:
        """Whether planes are left to be computed."""
        return bool(self._pending) and self.layer is not None

    def show(self, run: InspectedRun, what: str, record: dict[str, Any], compute: Compute) -> None:
        """Show ``compute`` of each plane of a run; ``work`` does it."""
        name = result_name(what, run.outcome.source)
        if self.layer is None or self.run is not run:
            self.remove()
            self._make(run, name)
        layer = self.layer
        assert layer is not None
        if self._name != name:  # else a name that the person gave it stays
            layer.name = self._name = name
        made = {"task": run.outcome.task, "source_layer": run.outcome.source, "of_run": run.key}
        own = {"notice": LAYER_NOTICE, "role": self._role} | made
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

    def _make(self, run: InspectedRun, name: str) -> None:
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


class UncertaintyMaps:
    """Three layers, each there only while it is wanted.

    Attributes
    ----------
    sample, probability, contour : LiveLayer
    """

    def __init__(self, viewer: ViewerModel) -> None:
        self._viewer = viewer
        self.sample = LiveLayer(viewer, "sample", np.float32, self._add_sample)
        self.probability = LiveLayer(viewer, "probability", np.float32, self._add_probability)
        self.contour = LiveLayer(viewer, "contour", np.uint8, self._add_contour)
        self.all = (self.sample, self.probability, self.contour)

    def show_sample(self, run: InspectedRun, number: int, count: int) -> None:
        """Show sample ``number``, counted from 0."""
        record = {"sample": number + 1, "samples": count, "units": run.outcome.units}
        self._show(self.sample, run, f"sample {number + 1} of {count}", record, lambda plane: plane.sample(number))

    def show_probability(self, run: InspectedRun, threshold: float, text: str) -> None:
        """Show P(value > threshold); ``text`` is the threshold as a person reads it."""
        record = {"threshold": threshold, "units": "probability"}
        self._show(self.probability, run, f"P(value > {text})", record, lambda plane: plane.above(threshold))

    def show_contour(self, run: InspectedRun, level: float, limit: float, text: str) -> None:
        """Outline where the interval of a level is wider than a limit."""
        record = {"level": level, "limit": limit}
        name = f"{100 * level:.0f} % interval > {text}"
        self._show(self.contour, run, name, record, lambda plane: (plane.width(level) > limit).astype(np.uint8))

    def _show(self, live: LiveLayer, *arguments: Any) -> None:
        before = live.layer
        live.show(*arguments)
        if live.layer is not before:
            self._order()

    def _order(self) -> None:
        """Put the outline on top, and the probability next: a sample must not hide them. Later the person may."""
        layers = self._viewer.layers
        for live in (self.probability, self.contour):
            if live.layer is not None and layers.index(live.layer) < len(layers) - 1:
                layers.move(layers.index(live.layer), len(layers))

    def _add_sample(self, data: npt.NDArray[Any], run: InspectedRun, **settings: Any) -> Image:
        look = {"colormap": run.base.colormap, "contrast_limits": tuple(run.base.contrast_limits)} if _grey(run) else {}
        return self._viewer.add_image(data, rgb=False, **look, **settings)

    def _add_probability(self, data: npt.NDArray[Any], run: InspectedRun, **settings: Any) -> Image:
        layer: Image = self._viewer.add_image(
            data,
            rgb=False,
            colormap=_probability(),
            contrast_limits=(0.0, 1.0),
            **settings,
        )
        if hasattr(layer, "colorbar"):  # napari 0.9
            layer.colorbar.visible = True
        return layer

    def _add_contour(self, data: npt.NDArray[Any], run: InspectedRun, **settings: Any) -> Labels:
        from napari.utils.colormaps import DirectLabelColormap

        colours = DirectLabelColormap(color_dict={None: "transparent", 0: "transparent", 1: _CONTOUR})
        layer: Labels = self._viewer.add_labels(data, colormap=colours, opacity=1.0, **settings)
        layer.contour = 1
        layer.editable = False
        return layer


def _probability() -> Colormap:
    """Viridis that is clear at 0, so that the anatomy is seen."""
    from napari.utils.colormaps import Colormap, ensure_colormap

    colours = np.array(ensure_colormap("viridis").map(np.linspace(0, 1, 33)))
    colours[:, 3] = 0.8 * np.minimum(np.linspace(0, 4, 33), 1) ** 0.5
    return Colormap(colours, name="brgm probability", display_name="probability")


def _grey(run: InspectedRun) -> bool:
    """Whether the base layer is the restored image, not one of its uncertainties."""
    return run.base.metadata["brgm"].get("role") not in ("variance", "std")
