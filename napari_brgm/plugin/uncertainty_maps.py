"""The layers that show a run's uncertainty: one sample, P(value > threshold), and where the interval is too wide."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from napari_brgm.plugin.live_layer import LiveLayer

if TYPE_CHECKING:
    import numpy.typing as npt
    from napari.components import ViewerModel
    from napari.layers import Image, Labels
    from napari.utils.colormaps import Colormap

    from napari_brgm.plugin.runs import Run

__all__ = ["UncertaintyMaps"]

_CONTOUR = "#00e5ff"


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

    def show_sample(self, run: Run, number: int, count: int) -> None:
        """Show sample ``number``, counted from 0."""
        record = {"sample": number + 1, "samples": count, "units": run.units}
        self._show(self.sample, run, f"sample {number + 1} of {count}", record, lambda plane: plane.sample(number))

    def show_probability(self, run: Run, threshold: float, text: str) -> None:
        """Show P(value > threshold); ``text`` is the threshold as a person reads it."""
        record = {"threshold": threshold, "units": "probability"}
        self._show(self.probability, run, f"P(value > {text})", record, lambda plane: plane.above(threshold))

    def show_contour(self, run: Run, level: float, limit: float, text: str) -> None:
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

    def _add_sample(self, data: npt.NDArray[Any], run: Run, **settings: Any) -> Image:
        look = {"colormap": run.base.colormap, "contrast_limits": tuple(run.base.contrast_limits)} if _grey(run) else {}
        return self._viewer.add_image(data, rgb=False, **look, **settings)

    def _add_probability(self, data: npt.NDArray[Any], run: Run, **settings: Any) -> Image:
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

    def _add_contour(self, data: npt.NDArray[Any], run: Run, **settings: Any) -> Labels:
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


def _grey(run: Run) -> bool:
    """Whether the base layer is the restored image, not one of its uncertainties."""
    return run.base.metadata["brgm"].get("role") not in ("variance", "std")
