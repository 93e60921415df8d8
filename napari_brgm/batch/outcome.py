"""Outcome: what one attempt at a row came to, as its process tells it."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["RowOutcome"]


@dataclass(frozen=True, slots=True)
class RowOutcome:
    """One attempt.

    Attributes
    ----------
    files : tuple of str
        Of its results, as the command printed them.
    notes : tuple of str
        What it told.
    reason : str
        Why it failed; '' where it did not.
    shared : bool
        Others are at work on what is left of the row.
    seconds : float
    """

    files: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    reason: str = ""
    shared: bool = False
    seconds: float = 0.0
