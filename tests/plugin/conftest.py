"""A stand-in for the engine, so that the plugin is exercised without weights."""

from __future__ import annotations

import os
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING

import numpy as np
import pytest

from napari_brgm.inference.step import Step
from napari_brgm.plugin import prior_panel, worker
from napari_brgm.settings import settings_for

if TYPE_CHECKING:
    from collections.abc import Callable, Generator

    from napari_brgm.plugin.worker import Job


def restoration(job: Job) -> SimpleNamespace:
    """What the engine would give: the mean of the measured pixels in the hole, the nearest pixels, or a bit more."""
    image = job.image
    if job.missing is None and job.factor is None:
        estimate, variance = image + np.float32(0.5), np.full(image.shape, 3.0, np.float32)
    elif job.missing is None:
        estimate = np.kron(image, np.ones((job.factor, job.factor), np.float32))
        variance = np.full(estimate.shape, 2.0, np.float32)
    else:
        estimate = np.where(job.missing, image[~job.missing].mean(), image).astype(np.float32)
        variance = job.missing.astype(np.float32)
    samples = np.stack([estimate] * 3)
    provenance = {"seed": job.seed, "method": job.method}
    return SimpleNamespace(
        estimate=estimate, variance=variance, std=np.sqrt(variance), samples=samples, provenance=provenance
    )


@dataclass
class FakeEngine:
    """``restore_steps`` of a job: previews, then the result; remembers what happened to it."""

    pause: float = 0.0
    error: BaseException | None = None
    jobs: list[Job] = field(default_factory=list)
    steps: int = 0
    closed: int = 0
    threads: set[int] = field(default_factory=set)

    def __call__(self, job: Job) -> Generator[Step, None, SimpleNamespace]:
        self.jobs.append(job)
        self.threads.add(threading.get_ident())
        result, steps = restoration(job), settings_for("default", job.quality).steps
        try:
            for i in range(1, steps + 1):
                time.sleep(self.pause)
                self.steps += 1
                yield Step(job.method, i, steps, 100.0 / i, preview=result.estimate * i / steps)
                if self.error is not None:
                    raise self.error
        except GeneratorExit:
            self.closed += 1
            raise
        return result


@pytest.fixture
def fake_restoration() -> Callable[[Job], SimpleNamespace]:
    return restoration


@pytest.fixture
def fake_engine(monkeypatch: pytest.MonkeyPatch) -> FakeEngine:
    """The engine of all jobs of a test."""
    engine = FakeEngine()
    monkeypatch.setattr(worker, "engine", engine)
    return engine


@pytest.fixture
def sentences(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What napari shows as an error."""
    said: list[str] = []
    monkeypatch.setattr(prior_panel, "show_error", said.append)
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

    def keep(viewer, name: str) -> None:
        folder = os.environ.get("BRGM_SCREENSHOTS")
        if folder:
            Path(folder).mkdir(parents=True, exist_ok=True)
            viewer.window._qt_window.resize(1400, 900)
            qtbot.wait(300)
            viewer.reset_view()
            viewer.screenshot(str(Path(folder) / f"{name}.png"), canvas_only=False, flash=False)

    return keep
