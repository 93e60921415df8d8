"""The layers that show a run's uncertainty: one sample, P(value > threshold), and where the interval is too wide.

Maps and samples say something of what was restored; nothing of them covers what was measured.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from napari_brgm.plugin.layers.outcome import COVERED_KEY
from napari_brgm.plugin.uncertainty.live import LiveLayer
from napari_brgm.plugin.uncertainty.outline import INSIDE, OUTLINE, finer_grid, outlined, too_wide

if TYPE_CHECKING:
    from napari.components import ViewerModel
    from napari.layers import Image, Labels, Layer
    from napari.utils.colormaps import Colormap

    from napari_brgm.plugin.layers.outcome import RestoredPlane
    from napari_brgm.plugin.uncertainty.making import MapMaker
    from napari_brgm.plugin.uncertainty.prepared import PreparedSamples
    from napari_brgm.plugin.uncertainty.runs import InspectedRun

__all__ = ["UncertaintyMaps"]

_CONTOUR = "#00e5ff"
_OPACITY = 0.7  # of the map at most: the anatomy is seen through it
_NONE = np.float32(np.nan)


class UncertaintyMaps:
    """Three layers, each there only while it is wanted.

    Attributes
    ----------
    sample, probability, contour : LiveLayer
    """

    def __init__(self, viewer: ViewerModel, maker: MapMaker, samples: PreparedSamples) -> None:
        self._viewer, self._samples = viewer, samples
        self._covered: list[Layer] = []  # tints that the map stands in for
        self.sample = LiveLayer(viewer, maker, "sample", np.float32(0), self._sample)
        self.probability = LiveLayer(viewer, maker, "probability", _NONE, self._probability)
        self.contour = LiveLayer(viewer, maker, "contour", np.uint8(0), self._contour)
        self.all = (self.sample, self.probability, self.contour)

    def show_sample(self, run: InspectedRun, number: int, count: int, *, settled: bool = True) -> None:
        """Show sample ``number``, counted from 0.

        Unless it is ``settled``, as while samples are played, of the plane on the screen only, and the layer is named
        after all of them: all docks look at the layers again after a new name.
        """
        record = {"sample": number + 1, "samples": count, "units": run.outcome.units}
        take = self._samples.sample
        self.sample.show(
            run,
            f"sample {number + 1} of {count}" if settled else f"samples 1 to {count}",
            record,
            lambda plane: take(plane, number),
            below=self._place(self.probability, self.contour),
            only_shown=not settled,
        )

    def show_probability(self, run: InspectedRun, threshold: float, text: str) -> None:
        """Show P(value > threshold) of what was restored; ``text`` is the threshold as a person reads it.

        The tint of the variance is hidden as long: colours of the two would mix.
        """
        what = f"P(value > {text})"
        record = {"threshold": threshold, "units": "probability", "caption": what}
        if self.probability.layer is None or self.probability.run is not run:
            self.put_back()
            self._cover(run)
        below = self._place(self.contour)
        self.probability.show(run, what, record, lambda plane: _above(plane, threshold), below=below)

    def hide_probability(self) -> None:
        """Take the map away, and show the tints again that it stood in for."""
        self.probability.remove()
        self.put_back()

    def put_back(self) -> None:
        """Show the tints again that were hidden for the map."""
        covered, self._covered = self._covered, []
        for layer in covered:
            layer.metadata.pop(COVERED_KEY, None)
            if layer in self._viewer.layers:
                layer.visible = True

    def show_contour(self, run: InspectedRun, level: float, limit: float, text: str) -> None:
        """Outline where the interval of a level is on the whole wider than a limit."""
        factor = finer_grid(run.planes[0].result.shape)
        record = {"level": level, "limit": limit, "grid": factor}
        thick = min(factor, 2)

        def outline(plane: RestoredPlane) -> npt.NDArray[np.uint8]:
            return outlined(too_wide(plane.width(level), plane.free, limit, factor), thick)

        self.contour.show(run, f"{100 * level:.0f} % interval > {text}", record, outline, factor=factor)

    def _cover(self, run: InspectedRun) -> None:
        for layer in self._viewer.layers:
            record = layer.metadata.get("brgm") or {}
            same = record.get("source_layer") == run.outcome.source and record.get("task") == run.outcome.task
            if layer.visible and same and record.get("role") in ("variance", "std"):
                layer.visible = False
                layer.metadata[COVERED_KEY] = True  # is saved as it is without the map
                self._covered.append(layer)

    def _place(self, *above: LiveLayer) -> int | None:
        """Where a new layer goes that must not hide these; None: on top. Later the person may move it."""
        places = [self._viewer.layers.index(live.layer) for live in above if live.layer is not None]
        return min(places) if places else None

    def _sample(self, data: npt.NDArray[Any], run: InspectedRun, **settings: Any) -> Image:
        from napari.layers import Image

        look = {"colormap": run.base.colormap, "contrast_limits": tuple(run.base.contrast_limits)} if _grey(run) else {}
        return Image(data, rgb=False, **look, **settings)

    def _probability(self, data: npt.NDArray[Any], run: InspectedRun, **settings: Any) -> Image:
        from napari.layers import Image

        return Image(data, rgb=False, colormap=_viridis(), contrast_limits=(0.0, 1.0), **settings)

    def _contour(self, data: npt.NDArray[Any], run: InspectedRun, **settings: Any) -> Labels:
        from napari.layers import Labels
        from napari.utils.colormaps import DirectLabelColormap

        colours = {None: "transparent", 0: "transparent", INSIDE: "transparent", OUTLINE: _CONTOUR}
        layer = Labels(data, colormap=DirectLabelColormap(color_dict=colours), opacity=1.0, **settings)
        layer.editable = False
        return layer


def _above(plane: RestoredPlane, threshold: float) -> npt.NDArray[np.float32]:
    return np.where(plane.free, plane.above(threshold), _NONE)


def _viridis() -> Colormap:
    """Viridis that is clear at 0, so that the anatomy is seen."""
    from napari.utils.colormaps import Colormap, ensure_colormap

    colours = np.array(ensure_colormap("viridis").map(np.linspace(0, 1, 33)))
    colours[:, 3] = _OPACITY * np.minimum(np.linspace(0, 4, 33), 1) ** 0.5
    return Colormap(colours, name="brgm probability", display_name="probability")


def _grey(run: InspectedRun) -> bool:
    """Whether the base layer is the restored image, not one of its uncertainties."""
    return run.base.metadata["brgm"].get("role") not in ("variance", "std")
