"""The histogram of a pixel's samples with its estimate and interval, in napari's colours.

Its artists are made once and moved; a redraw of the small canvas takes some 10 ms.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from matplotlib.backends.backend_qtagg import FigureCanvasQTAgg
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from matplotlib.ticker import MaxNLocator
from napari.utils.theme import get_theme
from qtpy.QtWidgets import QSizePolicy

from napari_brgm.text import shortened

if TYPE_CHECKING:
    from napari_brgm.engine.restoration import Restoration

__all__ = ["LEGEND", "UncertaintyPlot", "bins"]

_HEIGHT = 165  # pixels
_SAMPLES, _ESTIMATE, _SAMPLE = "#3a86c8", "#c96a00", "#2a954a"  # 3 : 1 or more on dark and on light grounds
_REACH = 4.0  # standard deviations to either side
LEGEND = (
    f'<small><font color="{_ESTIMATE}">&#9475;</font> estimate &nbsp;<font color="{_ESTIMATE}">&#9618;</font> interval '
    f'&nbsp;<font color="{_SAMPLES}">&#9607;</font> samples &nbsp;<font color="{_SAMPLE}">&#9650;</font> shown '
    "&nbsp;&#9482; threshold</small>"
)


class UncertaintyPlot(FigureCanvasQTAgg):
    """Canvas of one pair of axes."""

    def __init__(self) -> None:
        figure = Figure()
        figure.subplots_adjust(left=0.04, right=0.96, bottom=0.27, top=0.97)  # a layout engine doubles the redraw
        super().__init__(figure)
        self.setFixedHeight(_HEIGHT)
        self.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Fixed)
        self.axes = axes = figure.add_subplot()
        across = axes.get_xaxis_transform()
        self.band = Rectangle((0, 0), 1, 1, transform=across, alpha=0.2, color=_ESTIMATE, lw=0)
        axes.add_patch(self.band)
        self.bars = axes.stairs([0.0], [0.0, 1.0], fill=True, color=_SAMPLES, alpha=0.9)
        (self.curve,) = axes.plot([], [], color=_SAMPLES, lw=1.5)
        (self.line,) = axes.plot([0, 0], [0, 1], transform=across, color=_ESTIMATE, lw=2)
        (self.threshold,) = axes.plot([0, 0], [0, 1], transform=across, color="#d0d0d0", lw=1.2, ls="--")
        (self.shown,) = axes.plot([0], [0.04], "^", transform=across, color=_SAMPLE, ms=8, clip_on=False, zorder=5)
        self.message = axes.text(0.5, 0.5, "", transform=axes.transAxes, ha="center", va="center", fontsize=9)
        axes.yaxis.set_visible(False)
        axes.xaxis.set_major_locator(MaxNLocator(5))
        axes.tick_params(labelsize=8)
        for side in ("top", "right", "left"):
            axes.spines[side].set_visible(False)
        self.show_nothing("")

    def set_theme(self, name: str) -> None:
        """Take the colours of one of napari's themes."""
        theme = get_theme(name)
        background, text = theme.background.as_hex(), theme.text.as_hex()
        self.figure.set_facecolor(background)
        self.axes.set_facecolor(background)
        self.axes.spines["bottom"].set_color(text)
        self.threshold.set_color(text)
        self.axes.tick_params(colors=text)
        self.axes.xaxis.label.set_color(text)
        self.message.set_color(text)
        self.draw_idle()

    def show_nothing(self, message: str) -> None:
        """Show no pixel, and why."""
        for artist in self._artists():
            artist.set_visible(False)
        self.axes.xaxis.set_visible(False)
        self.axes.spines["bottom"].set_visible(False)
        self.message.set_text(message)
        self.draw_idle()

    def show_pixel(
        self,
        pixel: Restoration,
        level: float,
        units: str,
        *,
        threshold: float | None = None,
        sample: int | None = None,
    ) -> None:
        """Show a pixel that is uncertain.

        Parameters
        ----------
        pixel : Restoration
            Its arrays without rows and columns.
        threshold : float or None
            A value to mark.
        sample : int or None
            Number of the draw to mark.
        """
        low, high = map(float, pixel.interval(level))
        counted = len(pixel.samples) > 0
        top = 1.0
        if counted:
            counts, edges = bins(pixel.samples)
            self.bars.set_data(counts, edges)
            top = float(counts.max())
        else:
            x = np.linspace(-_REACH, _REACH, 81)
            self.curve.set_data(pixel.mean + x * pixel.std, np.exp(-(x**2) / 2))
        self.band.set_x(low)
        self.band.set_width(high - low)
        self.line.set_xdata([float(pixel.estimate)] * 2)
        for artist in (self.band, self.line):
            artist.set_visible(True)
        self.bars.set_visible(counted)
        self.curve.set_visible(not counted)
        self._mark(self.threshold, threshold)
        self._mark(self.shown, float(pixel.samples[sample]) if counted and sample is not None else None)
        self.message.set_text("")
        self.axes.xaxis.set_visible(True)
        self.axes.spines["bottom"].set_visible(True)
        self.axes.set_xlim(*self._range(pixel, low, high))
        self.axes.set_ylim(0, 1.08 * top)
        self.axes.set_xlabel(shortened(f"value ({units})" if units else "value", 60), fontsize=8, parse_math=False)
        self.draw_idle()

    def _range(self, pixel: Restoration, low: float, high: float) -> tuple[float, float]:
        mean, estimate = float(pixel.mean), float(pixel.estimate)
        reach = max(_REACH * float(pixel.std), 1e-6 * max(abs(estimate), 1e-6))
        ends = [mean - reach, mean + reach, low, high, estimate, *map(float, pixel.samples)]
        return min(ends), max(ends)

    def _mark(self, artist: Any, value: float | None) -> None:
        artist.set_visible(value is not None)
        if value is not None:
            artist.set_xdata([value] * len(artist.get_xdata()))

    def _artists(self) -> tuple[Any, ...]:
        return self.band, self.bars, self.curve, self.line, self.threshold, self.shown


def bins(samples: Any) -> tuple[Any, Any]:
    """Counts and edges of a histogram: about one and a half times the root of the number of draws, at most 40 bars."""
    number = int(np.clip(round(1.5 * len(samples) ** 0.5), 4, 40))
    low, high = float(np.min(samples)), float(np.max(samples))
    if not high > low:
        half = max(abs(low), 1e-6) * 1e-6
        low, high = low - half, high + half
    return np.histogram(np.asarray(samples, dtype=float), bins=number, range=(low, high))
