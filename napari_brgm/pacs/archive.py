"""Archive: what a DICOM archive can do, however it is spoken to."""

from __future__ import annotations

import logging
import re
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol, Self

from napari_brgm.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path

__all__ = ["Archive", "FoundSeries", "SeriesQuery", "in_order", "without_logs"]

_DATE = re.compile(r"\d{8}(-\d{8})?")
_TALKATIVE = ("pynetdicom", "dicomweb_client", "urllib3", "requests")


@dataclass(frozen=True, slots=True)
class SeriesQuery:
    """What is looked for; '' : whatever it is.

    Attributes
    ----------
    patient_id, accession, study_date, study : str
        Of the study; a date as DICOM has it, 20260131 or 20260101-20260131. One of them is needed.
    modality, series : str
        Of the series; the last is its UID, as ``study`` is that of the study.

    Raises
    ------
    InputError
        Nothing of a study is given, or something has a wildcard.
    """

    patient_id: str = ""
    accession: str = ""
    study_date: str = ""
    study: str = ""
    modality: str = ""
    series: str = ""

    def __post_init__(self) -> None:
        if not any(value.strip() for value in (self.patient_id, self.accession, self.study_date, self.study)):
            raise InputError(
                "say whose images are wanted: give a patient's number, an accession number, a date or a study"
            )
        values = (self.patient_id, self.accession, self.study_date, self.study, self.modality, self.series)
        if any(sign in value for value in values for sign in "*?\\"):
            raise InputError("an archive is asked for exact values; leave out *, ? and \\")
        if self.study_date.strip() and not _DATE.fullmatch(self.study_date.strip()):  # which some archives pass over
            raise InputError("a date is given as 20260131, or two of them as 20260101-20260131")

    def study_keys(self) -> dict[str, str]:
        """DICOM keyword -> value, '' where it is not given; those of a study."""
        return {
            "PatientID": self.patient_id, "AccessionNumber": self.accession, "StudyDate": self.study_date,
            "StudyInstanceUID": self.study,
        }  # fmt: skip

    def series_keys(self) -> dict[str, str]:
        """The same of a series."""
        return {"Modality": self.modality, "SeriesInstanceUID": self.series}


@dataclass(frozen=True, slots=True)
class FoundSeries:
    """A series in an archive; nothing of it names the patient, but perhaps the description.

    Attributes
    ----------
    study, uid : str
    date, modality, number, description : str
    images : int or None
        None: the archive does not say it.
    """

    study: str
    uid: str
    date: str = ""
    modality: str = ""
    number: str = ""
    images: int | None = None
    description: str = ""

    @classmethod
    def of(cls, study: str, in_study: Callable[[str], str], in_series: Callable[[str], str]) -> Self:
        """That of a study, as its answers and the series' give the text of a keyword."""
        images = in_series("NumberOfSeriesRelatedInstances")
        return cls(
            study,
            in_series("SeriesInstanceUID"),
            in_study("StudyDate"),
            in_series("Modality"),
            in_series("SeriesNumber"),
            int(images) if images.isdigit() else None,
            in_series("SeriesDescription"),
        )


class Archive(Protocol):
    """A DICOM archive. All of these raise ``ArchiveError``, with one sentence that names no patient."""

    def find(self, query: SeriesQuery) -> list[FoundSeries]:
        """Series that fit, by date and number."""

    def fetch(self, series: FoundSeries, folder: Path, tell: Callable[[int], None]) -> list[Path]:
        """Write the images of a series into a folder that is there, as they come; ``tell`` hears how many there are."""

    def send(self, files: Sequence[Path], tell: Callable[[int], None]) -> None:
        """Store files, one by one; ``tell`` hears how many the archive has taken."""


def in_order(found: list[FoundSeries]) -> list[FoundSeries]:
    """By date and number, whatever an archive says first."""
    return sorted(found, key=lambda one: (one.date, one.study, int(one.number) if one.number.isdigit() else 0, one.uid))


@contextmanager
def without_logs() -> Iterator[None]:
    """Keep libraries from logging what is asked for and what comes: it names patients."""
    loggers = [logging.getLogger(name) for name in _TALKATIVE]
    loggers += [
        logger
        for name, logger in logging.root.manager.loggerDict.items()
        if isinstance(logger, logging.Logger) and name.startswith(tuple(f"{one}." for one in _TALKATIVE))
    ]
    before = [logger.disabled for logger in loggers]
    for logger in loggers:
        logger.disabled = True
    try:
        yield
    finally:
        for logger, was in zip(loggers, before, strict=True):
            logger.disabled = was
