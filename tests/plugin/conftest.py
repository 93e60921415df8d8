"""A stand-in for the engine, so that the plugin is exercised without weights."""

from __future__ import annotations

import gc
import os
import threading
import time
from dataclasses import dataclass, field
from importlib import import_module
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from napari_brgm.engine.restoration import Restoration
from napari_brgm.errors import Cancelled
from napari_brgm.inference.step import Step
from napari_brgm.plugin import background, prior_panel
from napari_brgm.zoo.entry import Kind, PriorEntry

if TYPE_CHECKING:
    from collections.abc import Callable

    from qtpy.QtCore import QPoint

    from napari_brgm.engine.job import Job, ObservedSlice
    from napari_brgm.errors import InputError


def restoration(
    image: np.ndarray,
    missing: np.ndarray | None = None,
    factor: tuple[float, float] | None = None,
    seed: int = 0,
    method: str = "map",
) -> Restoration:
    """What the engine would give: the mean of the measured pixels in the hole, the nearest pixels, or a bit more."""
    measured = np.zeros(image.shape, bool)
    if missing is None and factor is None:
        estimate, variance = image + np.float32(0.5), np.full(image.shape, 3.0, np.float32)
    elif factor is not None:
        rows, columns = (round(n * f) for n, f in zip(image.shape, factor, strict=True))
        nearest = [((2 * np.arange(m) + 1) * n // (2 * m)) for m, n in zip((rows, columns), image.shape, strict=True)]
        estimate = image[np.ix_(*nearest)]
        variance = np.full(estimate.shape, 2.0, np.float32)
        measured = np.zeros(estimate.shape, bool)
    else:
        estimate = np.where(missing, image[~missing].mean(), image).astype(np.float32)
        variance, measured = missing.astype(np.float32), ~missing
    samples = np.stack([estimate - np.sqrt(variance), estimate, estimate + np.sqrt(variance)]).astype(np.float32)
    provenance = {"seed": seed, "method": method, "window": {"low": 0.0, "high": 255.0}}
    latents = np.zeros((1, 2), np.float32)
    return Restoration(estimate, estimate, variance, samples, latents, measured, [], provenance)


def happened(observed: ObservedSlice) -> dict[str, Any]:
    """What a slice is said to have gone through, as plain values."""
    corruption: Any = observed.corruption()
    if hasattr(corruption, "missing"):
        return {"missing": np.asarray(corruption.missing)}
    if hasattr(corruption, "factor"):
        return {"factor": tuple(map(float, corruption.factor)), "width": corruption.width}
    return {"jpeg_quality": getattr(corruption, "quality", None), "noise_sigma": observed.noise_sigma}


@dataclass
class FakeEngine:
    """``run`` of a job: previews, then the results; remembers what happened to it."""

    pause: float = 0.0
    error: BaseException | None = None
    bad: dict[int, InputError] = field(default_factory=dict)  # by slice, from 1
    jobs: list[Job] = field(default_factory=list)
    steps: int = 0
    closed: int = 0
    threads: set[int] = field(default_factory=set)

    def __call__(self, job: Job, tell: Callable[[Step], object]) -> list[Restoration | InputError]:
        self.jobs.append(job)
        self.threads.add(threading.get_ident())
        assert job.settings is not None
        slices, thin = list(job.slices), job.stack is not None and bool(job.stack.thin)
        if thin:  # each as the thick slice that holds most of it
            slices = [job.slices[int(np.argmax(shares))] for shares in np.asarray(job.stack.profile).T]
        steps, count, results = job.settings.steps, len(slices), []
        for number, observed in enumerate(slices):
            given = {"factor": (1.0, 1.0)} if thin else {}
            given |= {key: value for key, value in happened(observed).items() if key in ("missing", "factor")}
            result = restoration(observed.image, **given, seed=job.seed, method=job.method)
            for i in range(1, steps + 1):
                time.sleep(self.pause)
                self.steps += 1
                step = Step(
                    job.method, i, steps, 100.0 / i, preview=result.estimate * i / steps, slice=number, slices=count,
                    done=(number * steps + i) / (count * steps),
                )  # fmt: skip
                try:
                    tell(step)
                except Cancelled:
                    self.closed += 1
                    raise
                if self.error is not None:
                    raise self.error
            results.append(self.bad.get(number + 1, result))
        return results


@pytest.fixture(scope="module", autouse=True)
def modules_set_aside() -> None:
    """Keep what is loaded out of the garbage collector's way: napari walks through all of it for each removed layer."""
    gc.collect()
    gc.freeze()


@pytest.fixture
def fake_restoration() -> Callable[..., Restoration]:
    return restoration


@pytest.fixture
def asked() -> Callable[..., dict[str, Any]]:
    return happened


@pytest.fixture
def fake_engine(monkeypatch: pytest.MonkeyPatch) -> FakeEngine:
    """The engine of all jobs of a test; priors that are not known are loaded as one that is nothing."""
    engine, registry = FakeEngine(), import_module("napari_brgm.zoo.registry")
    load = registry.load_prior
    nothing = SimpleNamespace(info=SimpleNamespace(name="fake", preset="default"))
    monkeypatch.setattr(registry, "load_prior", lambda name: load(name) if name in registry.loadable() else nothing)
    monkeypatch.setattr(import_module("napari_brgm.engine.run"), "run", engine)
    return engine


@pytest.fixture
def one_prior(monkeypatch: pytest.MonkeyPatch) -> None:
    """The widgets offer nothing but the prior 'fake'."""
    fake = PriorEntry("fake", Kind.shipped, resolution=128, preset="default")
    monkeypatch.setattr(prior_panel, "offered_priors", lambda: {"fake": fake})


@pytest.fixture
def sentences(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What napari shows as an error."""
    said: list[str] = []
    monkeypatch.setattr(background, "show_error", said.append)
    return said


@pytest.fixture
def window(request: pytest.FixtureRequest):
    """A viewer with one of our widgets, opened through the manifest."""
    if os.environ.get("QT_QPA_PLATFORM") == "offscreen":
        pytest.skip("needs a display: there is no OpenGL offscreen")
    make_napari_viewer = request.getfixturevalue("make_napari_viewer")

    def open_window(widget: str, *, show: bool = False):
        viewer = make_napari_viewer(show=show)
        _, inner = viewer.window.add_plugin_dock_widget("napari-brgm", widget)
        return viewer, inner

    return open_window


@pytest.fixture
def click(qtbot) -> Callable[..., None]:
    """Press a button as a person does."""
    from qtpy.QtCore import Qt

    return lambda button: qtbot.mouseClick(button, Qt.MouseButton.LeftButton)


@pytest.fixture
def picture(qtbot) -> Callable[..., None]:
    """Keep a picture of the window where the variable BRGM_SCREENSHOTS names a folder."""

    def keep(viewer, name: str, size: tuple[int, int] = (1400, 900)) -> None:
        folder = os.environ.get("BRGM_SCREENSHOTS")
        if folder:
            Path(folder).mkdir(parents=True, exist_ok=True)
            viewer.window._qt_window.resize(*size)
            qtbot.wait(300)
            viewer.reset_view()
            viewer.screenshot(str(Path(folder) / f"{name}.png"), canvas_only=False, flash=False)

    return keep


def on_canvas(viewer, layer, point: tuple[float, ...]) -> QPoint:
    """Where a data point of the shown plane lies on the canvas, in Qt's pixels."""
    from qtpy.QtCore import QPoint

    native = viewer.window._qt_viewer.canvas.native
    world = np.array(layer.data_to_world(point))[-2:]  # a layer may have fewer axes than the viewer
    centre, zoom = np.array(viewer.scene.camera.center)[-2:], viewer.scene.camera.zoom
    y, x = (world - centre) * zoom / native.devicePixelRatioF() + np.array([native.height(), native.width()]) / 2
    return QPoint(round(x), round(y))


@pytest.fixture
def hover(qtbot):
    """Move the mouse over a data point."""

    from qtpy.QtCore import QPoint
    from qtpy.QtWidgets import QApplication

    def move(viewer, layer, point: tuple[float, ...]) -> None:
        native, there = viewer.window._qt_viewer.canvas.native, on_canvas(viewer, layer, point)
        qtbot.mouseMove(native, there - QPoint(3, 3))
        qtbot.mouseMove(native, there, delay=50)
        QApplication.processEvents()

    return move


@pytest.fixture
def stroke(qtbot):
    """Drag the mouse along data points of the shown plane, its button held."""
    from qtpy.QtCore import Qt
    from qtpy.QtWidgets import QApplication

    def drag(viewer, layer, points: list[tuple[float, ...]]) -> None:
        native = viewer.window._qt_viewer.canvas.native
        first, *others = (on_canvas(viewer, layer, point) for point in points)
        qtbot.mouseMove(native, first)
        qtbot.mousePress(native, Qt.MouseButton.LeftButton, pos=first)
        for place in others:
            qtbot.wait(30)  # vispy and napari pass over moves in quick succession
            qtbot.mouseMove(native, place)
            qtbot.wait(30)
        qtbot.mouseRelease(native, Qt.MouseButton.LeftButton, pos=others[-1])
        QApplication.processEvents()

    return drag


_shipped: dict[str, Any] = {}  # by name; none of it is changed


@pytest.fixture
def loaded_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Priors that ship are read from their files once for all tests: reading, checking and unpacking takes seconds."""
    registry = import_module("napari_brgm.zoo.registry")
    load = registry.load_prior

    def loaded(name: str) -> Any:
        if name not in _shipped:
            _shipped[name] = load(name)
        return _shipped[name]

    monkeypatch.setattr(registry, "load_prior", loaded)
