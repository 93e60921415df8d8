"""Windows: a long stack in parts that go on from each other."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest

from napari_brgm.engine.windows import windows_of

ASIDE = 4


def planned(n: int, wanted: list[int], reach: float = 4.0, longest: int = 1, mm: float = 1.0):
    flags = np.zeros(n, dtype=bool)
    flags[wanted] = True
    return windows_of([mm * i for i in range(n)], flags, reach, longest)


def kept(windows) -> list[int]:
    return [slice_ for window in windows for slice_ in window.kept]


CASES = {
    "one": (9, [4]),
    "all of a few": (7, list(range(7))),
    "every second": (41, list(range(1, 41, 2))),
    "first and last": (60, [0, 59]),
    "a long run": (100, list(range(10, 70))),
    "runs that are apart": (200, [3, 4, 90, 91, 92, 150]),
    "just longer than a window": (40, list(range(5, 22))),
}


@pytest.mark.parametrize("longest", [1, 3, 9])
@pytest.mark.parametrize("case", CASES)
def test_each_wanted_slice_is_kept_once_and_in_order(case, longest):
    n, wanted = CASES[case]
    windows = planned(n, wanted, longest=longest)
    found = kept(windows)
    assert found == sorted(set(found)) and set(wanted) <= set(found)
    for window in windows:
        assert window.slices == tuple(range(window.slices[0], window.slices[-1] + 1))
        assert window.new == window.kept + window.ahead and window.kept


@pytest.mark.parametrize("longest", [1, 3, 9])
def test_known_slices_come_directly_before_and_were_kept_by_the_window_before(longest):
    """Or were known to it: what a window goes on from has to be there. Catches a seam of slices nobody drew."""
    windows = planned(3200, list(range(1, 3200)), longest=longest)
    assert not windows[0].known and len(windows) > 50
    for before, window in pairwise(windows):
        assert window.known == tuple(range(window.kept[0] - max(ASIDE, longest), window.kept[0]))
        assert set(window.known) <= set(before.kept) | set(before.known)
        assert window.kept[0] == before.kept[-1] + 1 and before.ahead == window.new[: len(before.ahead)]


@pytest.mark.parametrize("longest", [1, 3, 12])
def test_windows_of_thousands_of_slices_are_short(longest):
    windows = planned(3200, list(range(3200)), longest=longest)
    assert max(len(window.slices) for window in windows) <= max(28, 6 * longest)
    assert sum(len(window.slices) for window in windows) < 3 * 3200
    assert windows[-1].ahead == () and kept(windows) == list(range(3200))


def test_neighbours_within_reach_are_read_and_no_others():
    (window,) = planned(100, [50], reach=2.0)
    assert window.slices == (48, 49, 50, 51, 52)
    (window,) = planned(100, [50], reach=30.0)  # of fine slices four on a side are enough
    assert window.slices == tuple(range(46, 55))
    (window,) = planned(100, [50], reach=2.0, mm=3.0)  # none is near enough
    assert window.slices == (50,)
    (window,) = planned(100, [0], reach=2.0)
    assert window.slices == (0, 1, 2)


def test_runs_that_are_apart_start_anew():
    """They know nothing of each other, and nothing between them is restored."""
    windows = planned(200, [3, 4, 90, 91, 92, 150], reach=3.0)
    assert [window.known for window in windows] == [(), (), ()]
    assert [window.slices for window in windows] == [tuple(range(8)), tuple(range(87, 96)), tuple(range(147, 154))]
    assert len(planned(200, [10, 16], reach=3.0)) == 1  # their contexts meet
    assert len(planned(200, [10, 17], reach=3.0)) == 2
    assert len(planned(200, [10, 30], reach=30.0)) == 2  # reach says they help, but nobody reads so many between


def test_runs_do_not_share_a_slice():
    """Contexts that touch: catches a slice that is restored twice."""
    for gap in range(1, 20):
        for reach in (0.5, 2.0, 3.5, 9.0):
            wanted = [20, 20 + gap]
            found = [slice_ for slice_ in kept(planned(60, wanted, reach=reach)) if slice_ in wanted]
            assert found == wanted


def test_known_and_ahead_hold_whole_profiles():
    """Of measured slices that are sums of nine: catches one that a window border cuts in two."""
    windows = planned(400, list(range(400)), longest=9)
    assert {len(window.known) for window in windows[1:]} == {9}
    assert all(len(window.ahead) >= 9 for window in windows[:-1])
