"""Orders come from seed and reader alone; answers outlive a cut; a session keeps time."""

from __future__ import annotations

import json
from collections import Counter

import pytest

from napari_brgm.errors import InputError, ScanError
from napari_brgm.evaluation.choosing.answers import Answers, GivenAnswer
from napari_brgm.evaluation.choosing.session import ChoosingSession
from napari_brgm.evaluation.choosing.study import TRUTH, ChoiceStudy


def test_everybody_is_asked_the_same_in_an_own_order(study):
    again = ChoiceStudy(study.folder)
    first, second = study.questions("nearest", "a"), study.questions("nearest", "b")
    assert first == again.questions("nearest", "a")
    assert first != second
    assert sorted(q.case for q in first) == sorted(q.case for q in second) == sorted(study.cases)
    assert len(study.cases) == 12
    assert {frozenset(q.shown) for q in first} == {frozenset({"alpha", "beta", "gamma"})}
    assert len({q.shown for q in first}) > 2  # places are mixed


def test_the_truth_stands_beside_one_method_in_turn(study):
    first, second = study.questions("real", "a"), study.questions("real", "b")
    pairs = {q.case: set(q.shown) for q in first}
    assert pairs == {q.case: set(q.shown) for q in second}
    assert all(TRUTH in pair and len(pair) == 2 for pair in pairs.values())
    assert Counter(min(pair - {TRUTH}) for pair in pairs.values()) == {"alpha": 4, "beta": 4, "gamma": 4}
    assert {q.shown.index(TRUTH) for q in first} == {0, 1}


def test_another_seed_is_another_study(study, tmp_path, cases):
    other = ChoiceStudy.begin(tmp_path / "other", cases(14), 12, 4)
    assert other.questions("nearest", "a") != study.questions("nearest", "a")


def test_a_case_that_was_changed_or_lost_is_told(study):
    name = next(iter(study.cases))
    path = study.folder / "cases" / f"{name}.npz"
    path.write_bytes(next(p for p in (study.folder / "cases").glob("*.npz") if p != path).read_bytes())
    with pytest.raises(InputError, match=f"case {name} was changed"):
        ChoiceStudy(study.folder)
    path.unlink()
    with pytest.raises(ScanError, match=name):
        ChoiceStudy(study.folder)


def test_no_study_and_too_few_cases(tmp_path, cases):
    with pytest.raises(InputError, match="holds no study"):
        ChoiceStudy(tmp_path)
    with pytest.raises(InputError, match="1 to 3"):
        ChoiceStudy.begin(tmp_path / "s", cases(3), 4, 0)
    with pytest.raises(InputError, match="holds no case"):
        ChoiceStudy.begin(tmp_path / "s", tmp_path / "s", 4, 0)


def test_half_a_line_is_no_answer_and_spoils_none(study):
    answers = Answers(study.folder, "nearest", "a")
    answers.add(GivenAnswer("case-00", 1, 2.5))
    with answers.path.open("ab") as stream:
        stream.write(b'{"case": "case-01", "pl')
    again = Answers(study.folder, "nearest", "a")
    assert again.given == answers.given
    again.add(GivenAnswer("case-02", 0, 1.0))
    assert set(Answers(study.folder, "nearest", "a").given) == {"case-00", "case-02"}


def test_a_line_of_something_else_is_told_by_its_number(study):
    Answers(study.folder, "nearest", "a").path.write_text('{"case": "case-00", "place": 1, "seconds": 2}\nhello\n')
    with pytest.raises(InputError, match="line 2 of answers-nearest-a"):
        Answers(study.folder, "nearest", "a")


def test_files_of_answers_name_no_method(study):
    session = ChoosingSession(study, "nearest", "a")
    session.choose(2)
    session.next()
    text = session.answers.path.read_text() + (study.folder / "study.json").read_text()
    assert not any(name in text for name in ("alpha", "beta", "gamma"))


class Clock:
    now = 100.0

    def __call__(self) -> float:
        return self.now


def test_pauses_do_not_count_and_a_cut_study_goes_on(study):
    clock = Clock()
    session = ChoosingSession(study, "nearest", "a", clock)
    clock.now += 3
    assert not session.next()  # nothing is chosen
    session.pause()
    clock.now += 500
    assert not session.choose(1)
    session.pause()
    clock.now += 4
    assert session.choose(1) and session.next()
    assert session.answers.given[session.questions[0].case].seconds == 7
    again = ChoosingSession(study, "nearest", "a", clock)
    assert again.at == 1 and again.chosen is None


def test_going_back_shows_the_answer_and_the_last_one_counts(study):
    clock = Clock()
    session = ChoosingSession(study, "nearest", "a", clock)
    session.choose(0)
    clock.now += 2
    session.next()
    assert session.back() and session.chosen == 0 and not session.back()
    session.next()  # a look
    assert len(session.answers.path.read_text().splitlines()) == 1
    session.back()
    clock.now += 5
    session.choose(2)
    session.next()
    lines = [json.loads(line) for line in session.answers.path.read_text().splitlines()]
    assert [(line["place"], line["seconds"]) for line in lines] == [(0, 2.0), (2, 7.0)]
    assert Answers(study.folder, "nearest", "a").given[lines[0]["case"]].place == 2


def test_places_that_are_not_there_cannot_be_chosen(study):
    session = ChoosingSession(study, "real", "a")
    assert not session.choose(2) and not session.choose(-1) and session.chosen is None


def test_a_reader_is_a_name_of_a_file(study):
    with pytest.raises(InputError, match="pseudonym"):
        ChoosingSession(study, "real", "../Dr. A")
