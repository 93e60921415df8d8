"""The measure itself: a window that stands still is told from one that waits."""

from __future__ import annotations

import time

from plugin.blocks import main_thread_blocks


def test_what_holds_the_window_up_is_found(qtbot, capsys) -> None:
    with main_thread_blocks("waits") as waits:
        qtbot.wait(400)
    with main_thread_blocks("sleeps") as sleeps:
        qtbot.wait(50)
        _sleep()
        qtbot.wait(50)
    assert 0.5 <= sleeps.longest == max(sleeps.gaps) and "_sleep" in sleeps.where
    assert waits.longest < 0.4
    assert sleeps.cpu < 0.3  # it sleeps
    assert "of CPU): sleeps" in capsys.readouterr().out


def test_what_is_not_over_counts_too(qtbot) -> None:
    with main_thread_blocks() as blocks:
        qtbot.wait(20)
        _sleep()
    assert blocks.longest >= 0.5


def _sleep() -> None:
    time.sleep(0.5)
