"""Session: one reader at one kind of question, from the first that has no answer on. Knows nothing of windows."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from napari_brgm.errors import InputError
from napari_brgm.evaluation.choosing.answers import Answers, GivenAnswer
from napari_brgm.evaluation.choosing.study import checked_reader

if TYPE_CHECKING:
    from collections.abc import Callable

    from napari_brgm.evaluation.choosing.cases import ChoiceCase
    from napari_brgm.evaluation.choosing.study import ChoiceQuestion, ChoiceStudy, QuestionKind

__all__ = ["ChoosingSession"]


class ChoosingSession:
    """What is asked, what is chosen, and how long it took.

    Parameters
    ----------
    study : ChoiceStudy
    kind : 'nearest' or 'real'
    reader : str
        A pseudonym.
    clock : callable
        Seconds.

    Attributes
    ----------
    at : int
        Number of the question, from 0; as many as there are when all are answered.
    chosen : int or None
        Place that is chosen, not yet kept.
    paused : bool

    Raises
    ------
    InputError
        The name cannot be one of a file, or the reader's file holds something else.
    """

    def __init__(
        self, study: ChoiceStudy, kind: QuestionKind, reader: str, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self.study, self.kind = study, kind
        self.questions = study.questions(kind, checked_reader(reader))
        self.answers = Answers(study.folder, kind, reader)
        for question in self.questions:
            given = self.answers.given.get(question.case)
            if given is not None and not 0 <= given.place < len(question.shown):
                raise InputError(f"{self.answers.path.name} chooses what was not shown; put the file right")
        self._clock = clock
        self.at, self.paused = 0, False
        self.chosen: int | None = None
        self._began, self._spent = 0.0, 0.0
        self._go(next((i for i, q in enumerate(self.questions) if q.case not in self.answers.given), len(self)))

    def __len__(self) -> int:
        return len(self.questions)

    @property
    def done(self) -> bool:
        """Whether the last question is behind."""
        return self.at >= len(self)

    @property
    def question(self) -> ChoiceQuestion:
        return self.questions[self.at]

    @property
    def case(self) -> ChoiceCase:
        return self.study.cases[self.question.case]

    def choose(self, place: int) -> bool:
        """Choose a candidate; says whether there is one of that place to be chosen now."""
        if self.done or self.paused or not 0 <= place < len(self.question.shown):
            return False
        self.chosen = place
        return True

    def next(self) -> bool:
        """Keep what is chosen and go on; says whether anything was.

        Raises
        ------
        OutputError
            It cannot be kept; the question stays.
        """
        if self.done or self.paused or self.chosen is None:
            return False
        given = self.answers.given.get(self.question.case)
        if given is None or given.place != self.chosen:  # a look back is no answer
            seconds = self._seconds() + (0.0 if given is None else given.seconds)
            self.answers.add(GivenAnswer(self.question.case, self.chosen, round(seconds, 3)))
        self._go(self.at + 1)
        return True

    def back(self) -> bool:
        """Go to the question before; says whether there is one."""
        if self.at == 0 or self.paused:
            return False
        self._go(self.at - 1)
        return True

    def pause(self) -> None:
        """Stop the clock, or let it go on."""
        if self.done:
            return
        if self.paused:
            self._began = self._clock()
        else:
            self._spent += self._clock() - self._began
        self.paused = not self.paused

    def _seconds(self) -> float:
        return self._spent + self._clock() - self._began

    def _go(self, at: int) -> None:
        self.at, self._spent, self._began = at, 0.0, self._clock()
        given = None if self.done else self.answers.given.get(self.question.case)
        self.chosen = None if given is None else given.place
