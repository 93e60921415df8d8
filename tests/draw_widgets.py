"""Draw the pictures of napari's window that the documents show: each is a session, driven as a person drives it.

    xvfb-run -a -s "-screen 0 1920x1200x24" python tests/draw_widgets.py --out docs/images

The scans come with nilearn and pydicom. Settings and weights of the person are left alone, and have no say in what is
seen.
"""

from __future__ import annotations

import argparse
import os
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Callable

    from napari.layers import Layer

PRIOR = "brain-axial-128"
LONG = 1800.0  # seconds that a station may take


class Session:
    """A window of napari, and what a person does in it."""

    def __init__(self, size: tuple[int, int], theme: str) -> None:
        import napari

        self.viewer = napari.Viewer()
        self.viewer.theme = theme
        self.size = size
        self.viewer.window._qt_window.resize(*size)
        self.wait(0.5)

    def wait(self, seconds: float) -> None:
        """Let the window live."""
        from qtpy.QtTest import QTest

        QTest.qWait(round(1000 * seconds))

    def until(self, there: Callable[[], object]) -> None:
        """Wait for what has to come."""
        end = time.monotonic() + LONG
        while not there():
            if time.monotonic() > end:
                raise TimeoutError("the window did not come to what was waited for")
            self.wait(0.05)

    def dock(self, name: str) -> Any:
        widget = self.viewer.window.add_plugin_dock_widget("napari-brgm", name)[1]
        if hasattr(widget, "estimate"):
            self.until(lambda: "Loading" not in widget.estimate.text())
        self.wait(0.5)
        return widget

    def sample(self, key: str) -> list[Layer]:
        return list(self.viewer.open_sample("napari-brgm", key))

    def show_slice(self, layer: Layer, number: int) -> None:
        self.viewer.dims.set_point(0, float(layer.data_to_world([number, 0, 0])[0]))

    def press(self, button: Any) -> None:
        from qtpy.QtCore import Qt
        from qtpy.QtTest import QTest

        QTest.mouseClick(button, Qt.MouseButton.LeftButton)

    def run(self, widget: Any, button: Any) -> None:
        """Press it and wait for the end of the run."""
        self.press(button)
        self.until(lambda: widget.worker is None)

    def point_at(self, layer: Layer, index: tuple[float, ...]) -> None:
        """Put the mouse over a pixel of the plane on show."""
        from qtpy.QtCore import QPoint
        from qtpy.QtTest import QTest

        native = self.viewer.window._qt_viewer.canvas.native
        world, camera = np.array(layer.data_to_world(index))[-2:], self.viewer.scene.camera
        y, x = (world - np.array(camera.center)[-2:]) * camera.zoom / native.devicePixelRatioF()
        there = QPoint(round(x + native.width() / 2), round(y + native.height() / 2))
        for place in (there - QPoint(4, 4), there):
            QTest.mouseMove(native, place)
            self.wait(0.1)

    def fit(self) -> None:
        self.viewer.reset_view()
        self.wait(0.3)

    def keep(self, path: Path) -> None:
        self.wait(1.0)
        self.viewer.screenshot(str(path), canvas_only=False, flash=False)
        print(path)

    def close(self) -> None:
        self.viewer.close()
        self.wait(0.2)


def painted(session: Session) -> None:
    """Artefacts over two slices of the MNI152 brain, restored together; the tint is the variance."""
    widget = session.dock("In-paint")
    image, masks = session.sample("brain-volume")
    widget.prior.value, widget.device.value, widget.samples.value = PRIOR, "cpu", 8
    middle = int(np.argwhere(masks.data == 1)[:, 0].mean())
    masks.data[[i for i in range(len(masks.data)) if i not in (middle, middle + 1)]] = 0
    masks.refresh()
    session.show_slice(image, middle)
    session.run(widget, widget.run_all_button)
    masks.visible = False
    session.fit()


def pixel(session: Session) -> None:
    """The inspector beside it: a pixel in the hole, and the probability of exceeding a value."""
    widget = session.dock("In-paint")
    _, mask = session.sample("brain-artefact")
    widget.prior.value, widget.device.value = PRIOR, "cpu"
    session.run(widget, widget.run_button)
    mask.visible = False
    session.press(widget.inspect_button)
    inspector = session.dock("Uncertainty")
    session.until(lambda: inspector.run is not None)
    free = np.argwhere(inspector.run.planes[0].free)
    inspector.probability_box.setChecked(True)
    session.until(lambda: not inspector.maps.probability.pending)
    session.fit()
    session.point_at(inspector.run.base, tuple(free[len(free) // 2]))


def thin(session: Session) -> None:
    """Axial planes through thick coronal slices."""
    widget = session.dock("Super-resolve")
    session.sample("brain-thick-slices")
    widget.way.value, widget.target.value = "through", 2.0
    widget.prior.value, widget.device.value = PRIOR, "cpu"
    session.run(widget, widget.run_button)
    session.fit()


def warned(session: Session) -> None:
    """A CT under a brain prior."""
    widget = session.dock("In-paint")
    session.sample("pydicom-ct")
    widget.prior.value, widget.device.value = PRIOR, "cpu"
    session.press(widget.paint_button.native)
    labels = widget.labels.value
    labels.data[48:62, 34:46] = 1
    labels.refresh()
    session.run(widget, widget.run_button)
    labels.visible = False
    session.fit()


def cleaned(session: Session) -> None:
    """The MNI152 slice as a JPEG file of quality 10 has it, cleaned up."""
    from napari_brgm.corruptions import Jpeg

    widget = session.dock("Clean up")
    image, mask = session.sample("brain-artefact")
    session.viewer.layers.remove(mask)
    image.data = spoilt(image.data, Jpeg(10))
    image.name = "MNI152 T1, JPEG 10"
    widget.prior.value, widget.device.value = PRIOR, "cpu"
    session.run(widget, widget.run_button)
    session.fit()


def spoilt(data: np.ndarray, jpeg: Any) -> np.ndarray:
    """A slice after this compression, in its own units."""
    import torch

    low, high = float(data.min()), float(data.max())
    grey = torch.as_tensor((data - low) / (high - low) * 255, dtype=torch.float32)[None, None]
    return np.asarray(jpeg.A(grey)[0, 0]) / 255 * (high - low) + low


def drawn(session: Session) -> None:
    """Draws of a prior."""
    widget = session.dock("Explore prior")
    widget.prior.value, widget.device.value, widget.count.value = PRIOR, "cpu", 8
    session.press(widget.draw_button)
    session.until(lambda: widget.task is None and session.viewer.layers)
    session.viewer.dims.set_current_step(0, 3)
    session.fit()


def shelf(session: Session) -> None:
    """The priors that ship."""
    widget = session.dock("Weights")
    session.sample("brain-artefact")
    widget.table.choose(PRIOR)
    widget.verify()
    session.until(lambda: widget.task is None)
    session.fit()


SESSIONS: dict[str, Callable[[Session], None]] = {
    "restored-volume": painted,
    "uncertainty-probability": pixel,
    "thin-slices": thin,
    "warnings": warned,
    "widget-clean": cleaned,
    "widget-explore": drawn,
    "weights-widget": shelf,
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", required=True, type=Path)
    parser.add_argument("--only", choices=[*SESSIONS], nargs="*", default=[*SESSIONS])
    parser.add_argument("--size", default="1280x800", help="of the window, in pixels")
    parser.add_argument("--theme", default="dark", choices=["dark", "light"])
    chosen = parser.parse_args()
    width, height = map(int, chosen.size.split("x"))
    chosen.out.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as own:
        os.environ |= {"NAPARI_CONFIG": f"{own}/settings.yaml", "NAPARI_BRGM_HOME": f"{own}/weights"}
        for name in chosen.only:
            session = Session((width, height), chosen.theme)
            SESSIONS[name](session)
            session.keep(chosen.out / f"{name}.png")
            session.close()


if __name__ == "__main__":
    main()
