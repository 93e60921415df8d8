"""A task must be heard, stopped and told of in one sentence, whatever happens in its thread."""

from __future__ import annotations

import threading
import time

import pytest

from napari_brgm.errors import BrgmError, Cancelled, DeviceError, InputError
from napari_brgm.plugin import background
from napari_brgm.plugin.background import BackgroundTask, TaskWidget

FULL = type("OutOfMemoryError", (RuntimeError,), {})  # as torch's


@pytest.fixture
def start(qtbot):
    """Run a function to its end; gives the task and what its signals carried."""

    def run(work, *, cancel_after: float | None = None):
        heard: dict[str, list] = {"returned": [], "errored": [], "warned": [], "finished": []}
        slots = {
            name: (lambda *given, into=into: into.append(given[0] if given else None)) for name, into in heard.items()
        }
        task = BackgroundTask(work, "the work", slots)
        if cancel_after is not None:
            qtbot.wait(round(1000 * cancel_after))
            task.cancel()
        qtbot.waitUntil(lambda: bool(heard["finished"]), timeout=20_000)
        return task, heard

    return run


def test_only_the_last_report_is_kept(start) -> None:
    seen = []

    def work(tell) -> str:
        for number in range(5):
            tell("counting", number, 5)
        seen.append(threading.get_ident())
        return "done"

    task, heard = start(work)
    assert heard["returned"] == ["done"] and not heard["errored"] and seen != [threading.get_ident()]
    assert task.report == ()  # what came of it is told, not how far it was


@pytest.mark.parametrize(
    ("error", "kind", "sentence"),
    [
        (RuntimeError("an operator failed"), BrgmError, "the work stopped: an operator failed"),
        (FULL("CUDA"), DeviceError, "out of memory on the device"),
        (InputError("too little is measured"), InputError, "too little is measured"),
        (StopIteration("odd"), StopIteration, "odd"),
        (ZeroDivisionError("division by zero"), ZeroDivisionError, "division by zero"),
    ],
)
def test_every_error_is_heard(start, error: Exception, kind: type[Exception], sentence: str) -> None:
    """Catches what napari's generator workers do: a RuntimeError vanishes, and the widget waits for ever."""

    def work(tell) -> None:
        raise error

    _, heard = start(work)
    (raised,) = heard["errored"]
    assert isinstance(raised, kind) and sentence in str(raised) and not heard["returned"]


def test_cancelled_at_its_next_report(start) -> None:
    ended = []

    def work(tell) -> None:
        try:
            while True:
                tell("going on", 0, None)
                time.sleep(0.01)
        finally:
            ended.append(True)  # its memory is given back

    task, heard = start(work, cancel_after=0.1)
    assert isinstance(heard["errored"][0], Cancelled) and task.cancelled and ended and not heard["returned"]


@pytest.fixture
def widget(qtbot, monkeypatch):
    class Counting(TaskWidget):
        def __init__(self) -> None:
            super().__init__()
            self.results: list = []

        def _on_result(self, result) -> None:
            self.results.append(result)
            self._say(f"counted to {result}")

    monkeypatch.setattr(background, "_LOOK_MS", 5)
    monkeypatch.setattr(background, "show_error", lambda text: None)
    made = Counting()
    qtbot.addWidget(made)
    return made


def test_a_widget_has_one_task_at_a_time_and_shows_how_far_it_is(widget, qtbot) -> None:
    go_on = threading.Event()

    def work(tell) -> int:
        tell("counting", 3, 4)
        go_on.wait(10)
        return 4

    widget._guarded(lambda: widget._start_task(work, "the counting"))
    qtbot.waitUntil(lambda: widget.status.text() == "Counting ..." and widget.progress.value() == 750)
    widget._guarded(lambda: widget._start_task(work, "the counting"))  # does nothing
    go_on.set()
    qtbot.waitUntil(lambda: widget.task is None)
    assert widget.results == [4] and widget.status.text() == "Counted to 4"
    assert not widget.cancel_button.isEnabled() and not widget.progress.isVisibleTo(widget)


@pytest.fixture
def held_up():
    """Work that does not hear of a cancel until it is told to."""
    go_on, ended = threading.Event(), threading.Event()

    def work(tell) -> str:
        tell("counting", 1, 4)
        go_on.wait(20)
        ended.set()
        return "late"

    work.go_on, work.ended = go_on, ended
    yield work
    go_on.set()


def test_a_cancelled_task_that_does_not_end_is_let_go_of(widget, qtbot, held_up, monkeypatch) -> None:
    """The panel is free at once; the next task begins when the memory of the first is free."""
    monkeypatch.setattr(background, "_PATIENCE_MS", 50)
    monkeypatch.setattr(type(widget), "_LETS_GO", True)
    begun = []

    def following(tell) -> int:
        begun.append(held_up.ended.is_set())
        return 7

    widget._start_task(held_up, "the counting")
    qtbot.waitUntil(lambda: widget.status.text() == "Counting ...")
    widget.cancel_button.click()
    assert widget.status.text() == "Cancelling ..."
    qtbot.waitUntil(lambda: widget.task is None)
    assert widget.status.text() == "Cancelled; nothing was changed" and not held_up.ended.is_set()
    widget._guarded(lambda: widget._start_task(following, "the counting"))
    qtbot.wait(400)
    assert not begun and widget.task is not None
    held_up.go_on.set()
    qtbot.waitUntil(lambda: widget.task is None)
    assert begun == [True] and widget.results == [7] and widget.status.text() == "Counted to 7"


def test_one_that_may_have_changed_something_is_waited_for(widget, qtbot, held_up, monkeypatch) -> None:
    """ "Nothing was saved" would not be true."""
    monkeypatch.setattr(background, "_PATIENCE_MS", 50)
    widget._start_task(held_up, "the counting")
    qtbot.waitUntil(lambda: widget.status.text() == "Counting ...")
    widget.cancel_button.click()
    qtbot.wait(300)
    assert widget.task is not None and widget.status.text() == "Cancelling ..."
    held_up.go_on.set()
    qtbot.waitUntil(lambda: widget.task is None)
    assert widget.results == ["late"]


@pytest.mark.parametrize("how", ["cancel", "orphan"])
def test_a_widget_that_is_cancelled_or_taken_away(widget, qtbot, how: str) -> None:
    from qtpy.QtWidgets import QWidget

    window = QWidget()
    qtbot.addWidget(window)
    widget.setParent(window)

    def work(tell) -> None:
        while True:
            tell("going on", 0, None)
            time.sleep(0.01)

    widget._start_task(work, "the work")
    qtbot.waitUntil(lambda: widget.status.text() == "Going on ...")
    if how == "cancel":
        widget.cancel_button.click()
    else:
        widget.setParent(None)
    assert widget.status.text() == "Cancelling ..."
    qtbot.waitUntil(lambda: widget.task is None)
    assert widget.status.text() == "Cancelled; nothing was changed" and not widget.results
    widget.setParent(None)  # else the window would take it along
