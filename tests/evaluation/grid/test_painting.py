"""Classical in-painting against functions that it must give back."""

import sys

import numpy as np
import pytest

from napari_brgm.errors import InputError
from napari_brgm.evaluation.grid.painting import Biharmonic, OpenCvPainting, Scattered
from napari_brgm.evaluation.tasks import Task

METHODS = (
    OpenCvPainting("telea"), OpenCvPainting("navier-stokes"), Biharmonic(),
    Scattered("nearest"), Scattered("linear"), Scattered("cubic"),
)  # fmt: skip


def hidden(size: int = 32) -> Task:
    missing = np.zeros((size, size), bool)
    missing[10:18, 12:20] = True
    return Task("hole", "hole", missing, size=size)


def plane(size: int = 32) -> np.ndarray:
    return 40 + 2.0 * np.arange(size)[:, None] + 3.0 * np.arange(size)


@pytest.mark.parametrize("method", METHODS, ids=lambda method: method.name)
def test_what_is_constant_is_continued_and_what_is_measured_stays(method):
    method.prepare()
    task = hidden()
    flat = np.full((32, 32), 77.0)
    found = method.restore(np.where(task.missing, 0, flat), task, 0).estimate
    np.testing.assert_allclose(found, flat, atol=3 if method.name == "telea" else 1e-6)  # it gives and takes a little
    noise = np.random.default_rng(0).integers(0, 255, (32, 32)).astype(float)
    found = method.restore(np.where(task.missing, 0, noise), task, 0).estimate
    assert np.array_equal(found[~task.missing], noise[~task.missing]) and np.isfinite(found).all()


@pytest.mark.parametrize("method", [Biharmonic(), Scattered("linear"), Scattered("cubic")], ids=lambda m: m.name)
def test_a_plane_is_continued(method):
    """Whatever is rows + columns: harmonic, biharmonic, linear; catches rows that are taken for columns."""
    task = hidden()
    found = method.restore(np.where(task.missing, 0, plane()), task, 0).estimate
    np.testing.assert_allclose(found, plane(), atol=1e-3)


def test_the_biharmonic_one_continues_a_cubic():
    """Catches a solver of laplace(x) = 0: x^3 - 3 x y^2 + 5 x^2 y is biharmonic, not harmonic."""
    a = np.linspace(-1, 1, 32)
    truth = 100 + 40 * (a[:, None] ** 3 + 5 * a[:, None] ** 2 * a)
    task = hidden()
    found = Biharmonic().restore(np.where(task.missing, 0, truth), task, 0).estimate
    np.testing.assert_allclose(found, truth, atol=0.05)


def test_beyond_the_hull_the_nearest_is_taken():
    missing = np.zeros((16, 16), bool)
    missing[:, 8:] = True
    rows = np.repeat(np.arange(16.0)[:, None], 16, axis=1)
    found = Scattered("linear").restore(np.where(missing, 0, rows), Task("half", "half", missing, size=16), 0).estimate
    np.testing.assert_array_equal(found, rows)


def test_holes_alone():
    low = Task("x4", "x4", factor=4)
    assert all(method.solves(hidden()) and not method.solves(low) for method in METHODS)


def test_without_opencv_it_is_said_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "cv2", None)
    with pytest.raises(InputError, match=r"pip install napari-brgm\[evaluation\]"):
        OpenCvPainting("telea").prepare()
