"""Files of cases: what is written is read, nothing else is, and nothing in them is code."""

from __future__ import annotations

import numpy as np
import pytest

from napari_brgm.errors import InputError, ScanError
from napari_brgm.evaluation.choosing import read_case, write_case

SIZE = 8
TRUTH = np.linspace(0, 255, SIZE * SIZE).reshape(SIZE, SIZE)
HOLE = np.eye(SIZE, dtype=bool)


def test_a_case_comes_back_in_whole_grey_levels(tmp_path):
    path = write_case(
        tmp_path / "new", "case-1", TRUTH, np.where(HOLE, 0, TRUTH), {"a": TRUTH + 0.4, "b": TRUTH - 300}, hole=HOLE,
        task="mask-3", subject="7",
    )  # fmt: skip
    case = read_case(path)
    assert (case.name, case.task, case.subject, case.methods) == ("case-1", "mask-3", "7", ("a", "b"))
    np.testing.assert_array_equal(case.truth, np.round(TRUTH))
    np.testing.assert_array_equal(case.restored["a"], np.clip(np.round(TRUTH + 0.4), 0, 255))
    assert not case.restored["b"].any()
    np.testing.assert_array_equal(case.hole, HOLE)


def test_without_a_hole_nothing_is_hidden(tmp_path):
    case = read_case(write_case(tmp_path, "low", TRUTH, TRUTH[::2, ::2], {"a": TRUTH}))
    assert not case.hole.any() and case.observed.shape == (4, 4)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"reconstructions": {}}, "1 to 8 methods"),
        ({"reconstructions": {f"m{i}": TRUTH for i in range(9)}}, "1 to 8 methods"),
        ({"reconstructions": {"a": TRUTH[:4]}}, "reconstructions must be"),
        ({"reconstructions": {"truth": TRUTH}}, "methods are called"),
        ({"reconstructions": {"a,b": TRUTH}}, "methods are called"),
        ({"hole": HOLE[:4]}, "the hole must have shape"),
        ({"truth": TRUTH[0]}, "gray images"),
        ({"name": "../x"}, "letters, digits"),
    ],
)
def test_what_does_not_fit_is_refused(tmp_path, change, said):
    given = {"name": "c", "truth": TRUTH, "observed": TRUTH, "reconstructions": {"a": TRUTH}} | change
    with pytest.raises(InputError, match=said):
        write_case(tmp_path, **given)
    assert not list(tmp_path.iterdir())


def test_damaged_files_and_pickles_get_a_sentence(tmp_path):
    path = write_case(tmp_path, "c", TRUTH, TRUTH, {"a": TRUTH})
    whole = path.read_bytes()
    for data in (whole[: len(whole) // 2], b"", b"no archive"):
        path.write_bytes(data)
        with pytest.raises(ScanError, match=r"c\.npz is no case that can be read"):
            read_case(path)
    np.savez(path, truth=np.array([object()], dtype=object))
    with pytest.raises(ScanError, match="no case"):
        read_case(path)
    with pytest.raises(ScanError, match="no case"):
        read_case(tmp_path / "absent.npz")
