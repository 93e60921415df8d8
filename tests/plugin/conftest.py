"""A stand-in for the engine, so that the plugin is exercised without weights."""

from __future__ import annotations

import os
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest

from napari_brgm.engine.restoration import Restoration
from napari_brgm.engine.volume import SliceStep
from napari_brgm.inference.step import Step
from napari_brgm.plugin import status_line, worker
from napari_brgm.settings import settings_for

if TYPE_CHECKING:
    from collections.abc import Callable, Generator

    from napari_brgm.errors import InputError
    from napari_brgm.plugin.job import Job, Piece


def restoration(piece: Piece, seed: int = 0, method: str = "map") -> Restoration:
    """What the engine would give: the mean of the measured pixels in the hole, the nearest pixels, or a bit more."""
    image = piece.image
    measured = np.zeros(image.shape, bool)
    if piece.missing is None and piece.factor is None:
        estimate, variance = image + np.float32(0.5), np.full(image.shape, 3.0, np.float32)
    elif piece.factor is not None:
        rows, columns = (round(n * f) for n, f in zip(image.shape, piece.factor, strict=True))
        nearest = [((2 * np.arange(m) + 1) * n // (2 * m)) for m, n in zip((rows, columns), image.shape, strict=True)]
        estimate = image[np.ix_(*nearest)]
        variance = np.full(estimate.shape, 2.0, np.float32)
        measured = np.zeros(estimate.shape, bool)
    else:
        estimate = np.where(piece.missing, image[~piece.missing].mean(), image).astype(np.float32)
        variance, measured = piece.missing.astype(np.float32), ~piece.missing
    samples = np.stack([estimate - np.sqrt(variance), estimate, estimate + np.sqrt(variance)]).astype(np.float32)
    provenance = {"seed": seed, "method": method}
    latents = np.zeros((1, 2), np.float32)
    return Restoration(estimate, estimate, variance, samples, latents, measured, [], provenance)


@dataclass
class FakeEngine:
    """``restore_slices`` of a job: previews, then the results; remembers what happened to it."""

    pause: float = 0.0
    error: BaseException | None = None
    bad: dict[int, InputError] = field(default_factory=dict)  # by slice, from 1
    jobs: list[Job] = field(default_factory=list)
    steps: int = 0
    closed: int = 0
    threads: set[int] = field(default_factory=set)

    def __call__(self, job: Job) -> Generator[SliceStep, None, list[Restoration]]:
        self.jobs.append(job)
        self.threads.add(threading.get_ident())
        steps, results = settings_for("default", job.quality).steps, []
        try:
            for number, piece in enumerate(job.pieces, start=1):
                result = restoration(piece, job.seed, job.method)
                for i in range(1, steps + 1):
                    time.sleep(self.pause)
                    self.steps += 1
                    step = Step(job.method, i, steps, 100.0 / i, preview=result.estimate * i / steps)
                    yield SliceStep(number, len(job.pieces), step, (number - 1) * steps + i)
                    if self.error is not None:
                        raise self.error
                results.append(self.bad.get(number, result))
        except GeneratorExit:
            self.closed += 1
            raise
        return results


@pytest.fixture(autouse=True)
def own_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Timings and weights of a person's own stay out of the tests, and the tests out of theirs."""
    monkeypatch.setenv("NAPARI_BRGM_HOME", str(tmp_path / "home"))


@pytest.fixture
def fake_restoration() -> Callable[..., Restoration]:
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
    monkeypatch.setattr(status_line, "show_error", said.append)
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
