"""The study of volumes: what its rivals are, and that a cut run goes on."""

from __future__ import annotations

import copy
import json
from dataclasses import replace

import numpy as np
import pytest

from napari_brgm.calibration import Calibration, Curve
from napari_brgm.errors import InputError
from napari_brgm.evaluation import volume_cases, volumes
from napari_brgm.evaluation.through_splines import interpolated, projected
from napari_brgm.evaluation.volume_cases import MASKS, Case, cases_of
from napari_brgm.evaluation.volumes import VolumeStudy


def test_a_slope_through_the_slices_is_met_by_both_splines():
    """Catches middles of thick slices that are half a thin one off."""
    thin = np.arange(24, dtype=np.float32)[:, None, None] * np.ones((1, 2, 2), np.float32)
    thick = thin.reshape(8, 3, 2, 2).mean(axis=1)
    np.testing.assert_allclose(interpolated(thick, 3, 1)[1:-1], thin[1:-1], atol=1e-5)
    np.testing.assert_allclose(interpolated(thick, 3, 3)[6:-6], thin[6:-6], atol=0.05)


def test_projected_slices_have_the_means_that_were_measured():
    rng = np.random.default_rng(0)
    thick = rng.uniform(0, 200, (4, 6, 6)).astype(np.float32)
    found = projected(interpolated(thick, 5, 3), thick)
    np.testing.assert_allclose(found.reshape(4, 5, 6, 6).mean(axis=1), thick, atol=1e-2)


def test_cases_are_those_that_were_asked_for():
    found = cases_of(["hole-3", "thick-5"], [1, 2], [4])
    assert len(found) == 2 * MASKS + 1 and found[-1] == Case(4, factor=5)
    few = cases_of(["hole-1"], [1], [4, 9, 11], 3)
    assert [(case.subject, case.mask) for case in few] == [
        (4, 0), (4, 1), (4, 2), (9, 3), (9, 4), (9, 5), (11, 0), (11, 6), (11, 7)
    ]  # fmt: skip
    with pytest.raises(InputError, match="there is no 'hole-2'; tasks are hole-1"):
        cases_of(["hole-2"], [1], [0])
    with pytest.raises(InputError, match="there is no '4'"):
        cases_of(["hole-1"], [4], [0])


@pytest.fixture
def study(stack_prior, tmp_path, monkeypatch):
    """Of a small prior's own draws: two subjects of 12 slices."""
    rng = np.random.default_rng(1)
    stacks = [np.clip(rng.normal(100, 30, (12, stack_prior.resolution, stack_prior.resolution)), 0, 255)] * 2
    monkeypatch.setattr(volumes, "set_of", lambda _: _Held([one.astype(np.float32) for one in stacks]))
    hole = np.zeros((24, 24), dtype=bool)
    hole[9:14, 8:15] = True
    monkeypatch.setattr(volume_cases, "paper_masks", lambda _: [hole] * 7)

    def made(prior=stack_prior) -> VolumeStudy:
        found = VolumeStudy(prior, tmp_path, tmp_path, 4, 0, alone=False)
        found.settings = found.settings.but(steps=2, fit_pose=False)
        return found

    return made


class _Held:
    name = "toys"

    class framing:
        spacing_mm = 1.0

    def __init__(self, stacks: list[np.ndarray]) -> None:
        self._stacks = stacks

    def read(self, data, part) -> _Held:
        return self

    def stacks(self) -> list[np.ndarray]:
        return self._stacks


def test_a_study_goes_on_where_it_was(study, tmp_path, monkeypatch):
    """And what was measured with other samples is not taken for it."""
    cases = [Case(0, 1, 1, 3), Case(0, factor=3)]
    first = study()
    first.run(cases[:1])
    told = []
    again = study()
    monkeypatch.setattr(VolumeStudy, "_hole", lambda *_: pytest.fail("it was there"))
    again.run(cases, lambda done, total, what: told.append((done, total)))
    assert told == [(1, 2), (2, 2)]
    assert again.rows[cases[0].key] == first.rows[cases[0].key]
    table = again.table()
    assert "| 1 hidden, every 1 mm | all | 1 |" in table and "thick 3 mm" in table
    lines = (tmp_path / "volumes.jsonl").read_text().splitlines()
    marks = [json.loads(line)["mark"]["samples"] for line in lines]
    assert marks == [4, 4]


def test_a_hole_is_compared_with_the_line_between_its_neighbours(study):
    """A stack that is a straight line through its slices is what the line gives: its error is 0."""
    found = study()
    found.stacks[0][:] += 50 * np.arange(12, dtype=np.float32)[:, None, None] - found.stacks[0] + found.stacks[0][0]
    found.run([Case(0, 1, 3, 3)])
    (row,) = found.rows.values()
    assert row["squares"]["line"] == pytest.approx(0, abs=1e-2) and row["count"] > 0


def test_shares_of_intervals_and_factors_for_the_card(study, stack_prior, monkeypatch):
    """Of a prior's own draws: the table tells both shares, and the card keeps what is known of single slices."""
    hole = np.zeros((24, 24), dtype=bool)
    hole[2:22, 2:22] = True
    monkeypatch.setattr(volume_cases, "paper_masks", lambda _: [hole] * 7)
    monkeypatch.setattr(volumes, "_EVERY", 1)
    single = Curve((0.1,), ((1.0,) * 4,))
    stack_prior = copy.copy(stack_prior)
    known = Calibration("toys", 2, 2, "default", {("map", "mask", "tissue"): single}, {"mask": 0.9})
    stack_prior.info = replace(stack_prior.info, calibration=known)
    found = study(stack_prior)
    found.run([Case(subject, 1, 3, 3) for subject in (0, 1)] + [Case(subject, factor=3) for subject in (0, 1)])
    calibration = found.calibration()
    assert calibration.curves["map", "mask", "tissue"] == single and dict(calibration.scales) == {"mask": 0.9}
    assert [mm for mm, _ in calibration.hole_tasks("map")] == [1.0, 2.0] and calibration.knows("map", "thick")
    (row,) = (line for line in found.table().splitlines() if line.startswith("| 3 hidden, every 1 mm | all"))
    came, calibrated = row.split("|")[-5:-3]
    assert came.strip().endswith("%") and "% +- " in calibrated


def test_without_a_card_of_single_slices_there_is_nothing_to_add_to(study):
    found = study()
    with pytest.raises(InputError, match="has no calibration of single slices to add to"):
        found.calibration()
