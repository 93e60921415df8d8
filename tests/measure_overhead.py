"""What napari costs a restoration: a window opens, and ``python tests/measure_overhead.py`` tells.

The sample slice is in-painted by the plain loop and by the widget, in turn; the ratio of their times is told, and the
longest time for which the window did not answer while the widget ran. Needs a display (or ``xvfb-run``).
"""

from __future__ import annotations

import argparse
import statistics
import time
from typing import TYPE_CHECKING

from napari_brgm.plugin.layers.shown import shown_slice

if TYPE_CHECKING:
    import napari.viewer

    from napari_brgm.plugin.restore.inpaint import InpaintWidget

_TICK_MS = 5


class Watch:
    """Notes the longest time between ticks of the event loop: how long the window did not answer."""

    def __init__(self) -> None:
        from qtpy.QtCore import QTimer

        self.longest, self._last = 0.0, time.perf_counter()
        self._timer = QTimer()
        self._timer.timeout.connect(self._tick)
        self._timer.start(_TICK_MS)

    def stop(self) -> float:
        """Seconds of the longest block."""
        self._tick()
        self._timer.stop()
        return self.longest

    def _tick(self) -> None:
        now = time.perf_counter()
        self.longest, self._last = max(self.longest, now - self._last - _TICK_MS / 1000), now


def measure(viewer: napari.viewer.Viewer, widget: InpaintWidget, runs: int) -> tuple[list[float], list[float], float]:
    """Seconds of the plain loop and of the widget for each run, and the longest block of the window in seconds."""
    from qtpy.QtCore import QEventLoop
    from qtpy.QtWidgets import QApplication

    from napari_brgm.engine.run import run

    plain, windowed, longest = [], [], 0.0
    image = widget.chosen_image()
    for number in range(runs + 1):  # the first one warms up, and is watched
        parts = widget.parts(image, shown_slice(image, viewer.dims), False)
        began = time.perf_counter()
        run(widget.order([part.observed for part in parts])())
        middle = time.perf_counter()
        watch = None if number else Watch()  # in the first run alone: its ticks take time from the run
        widget.run()
        while widget.task is not None:
            QApplication.processEvents(QEventLoop.ProcessEventsFlag.WaitForMoreEvents)
        end = time.perf_counter()
        longest = watch.stop() if watch is not None else longest
        viewer.layers[-2:] = []  # restored and variance
        if number:
            plain.append(middle - began)
            windowed.append(end - middle)
    return plain, windowed, longest


def main() -> None:
    """Open a window, measure, and tell."""
    import napari

    parser = argparse.ArgumentParser(description="Time a restoration in napari against the plain loop.")
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--prior", default="brain-axial-128")
    parser.add_argument("--quality", default="careful", choices=["preview", "standard", "careful"])
    parser.add_argument("--device", default="auto")
    chosen = parser.parse_args()
    viewer = napari.Viewer()
    _, widget = viewer.window.add_plugin_dock_widget("napari-brgm", "In-paint")
    viewer.open_sample("napari-brgm", "brain-artefact")
    widget.prior.value, widget.quality.value, widget.device.value = chosen.prior, chosen.quality, chosen.device
    plain, windowed, longest = measure(viewer, widget, chosen.runs)
    ratios = [b / a for a, b in zip(plain, windowed, strict=True)]
    print(f"plain loop {statistics.median(plain):.2f} s, widget {statistics.median(windowed):.2f} s")
    print(f"ratio {statistics.median(ratios):.3f} (median of {len(ratios)}; {min(ratios):.3f} to {max(ratios):.3f})")
    print(f"longest time the window did not answer: {1000 * longest:.0f} ms")
    viewer.close()


if __name__ == "__main__":
    main()
