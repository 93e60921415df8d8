"""Planes made in a thread: all of them, in the order they are wanted in, and nothing that is no longer wanted."""

from __future__ import annotations

import threading
from types import SimpleNamespace

import numpy as np
import pytest
from qtpy.QtCore import QObject

from napari_brgm.plugin.uncertainty.making import MapMaker

PLANES = [SimpleNamespace(index=i) for i in range(20)]


@pytest.fixture
def made(qtbot):
    parent, said, turns = QObject(), [], []
    maker = MapMaker(parent, lambda: turns.append(1), said.append)
    yield SimpleNamespace(maker=maker, errors=said, turns=turns)
    maker.stop()


def test_every_plane_in_order_and_in_the_right_threads(made, qtbot) -> None:
    threads, got = set(), []

    def compute(plane):
        threads.add(threading.get_ident())
        return np.full(2, plane.index)

    def deliver(plane, array):
        got.append((plane.index, int(array[0]), threading.get_ident()))

    made.maker.want("a", PLANES, compute, deliver)
    assert made.maker.makes("a") and not got
    qtbot.waitUntil(lambda: not made.maker.makes("a"))
    here = threading.get_ident()
    assert got == [(i, i, here) for i in range(20)] and threads and here not in threads and made.turns


def test_what_is_wanted_now_takes_the_place_of_what_was(made, qtbot) -> None:
    gate, got = threading.Event(), []

    def slow(plane):
        gate.wait(10)
        return np.zeros(1)

    made.maker.want("a", PLANES, slow, lambda plane, array: got.append("old"))
    made.maker.want("a", PLANES[:3], lambda plane: np.ones(1), lambda plane, array: got.append("new"))
    gate.set()
    qtbot.waitUntil(lambda: not made.maker.makes("a"))
    assert got == ["new"] * 3
    made.maker.want("a", PLANES[:1], lambda plane: np.ones(1), lambda plane, array: got.append("later"))  # begins again
    qtbot.waitUntil(lambda: got[-1] == "later")


def test_first_planes_of_all_maps_come_before_the_others(made, qtbot) -> None:
    gate, got = threading.Event(), []

    def compute(plane):
        gate.wait(10)
        return np.zeros(1)

    for key in "ab":
        made.maker.want(key, PLANES, compute, lambda plane, array, key=key: got.append(key + str(plane.index)))
    made.maker.sort("b", lambda plane: -plane.index)
    gate.set()
    qtbot.waitUntil(lambda: len(got) == 40)
    assert "b19" in got[:3] and got.index("a10") < got.index("b0")


def test_an_error_is_told_once_and_the_others_go_on(made, qtbot) -> None:
    got = []

    def fails(plane):
        raise ValueError("no")

    made.maker.want("a", PLANES, fails, lambda plane, array: got.append("a"))
    made.maker.want("b", PLANES, lambda plane: np.zeros(1), lambda plane, array: got.append("b"))
    qtbot.waitUntil(lambda: not (made.maker.makes("a") or made.maker.makes("b")))
    assert got == ["b"] * 20 and [str(error) for error in made.errors] == ["no"]


def test_nothing_comes_after_the_end(made, qtbot) -> None:
    got = []
    made.maker.want("a", PLANES, lambda plane: np.zeros(1), lambda plane, array: got.append(1))
    made.maker.forget("a")
    made.maker.want("b", PLANES, lambda plane: np.zeros(1), lambda plane, array: got.append(1))
    made.maker.stop()
    qtbot.wait(100)
    assert not got and not made.maker.makes("b")
