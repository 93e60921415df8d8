"""``napari-brgm train`` on data of one's own: survey, contact sheet, split, and a prior that is complete."""

from __future__ import annotations

import time
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from napari_brgm.cli.progress import training_bar
from napari_brgm.cli.terminal import say, say_path
from napari_brgm.cli.train_finish import say_notes

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from napari_brgm.datasets.survey import Survey
    from napari_brgm.priors.prior import PriorInfo
    from napari_brgm.scan import Plane
    from napari_brgm.training.lcm_settings import LcmSettings
    from napari_brgm.training.recipe import Recipe
    from napari_brgm.training.subject_split import SubjectSplit

    MakeSettings = Callable[[PriorInfo], "Recipe | LcmSettings"]

__all__ = ["OwnWish"]


@dataclass(frozen=True, slots=True)
class OwnWish:
    """Options of the command, as they were given."""

    data: Path
    work: Path
    out: Path
    name: str
    modality: str
    plane: Plane | None
    resolution: int
    spacing_mm: float | None
    pixel_mm: float | None
    slices: tuple[int, int] | None
    seed: int
    seconds: float
    device: str

    def train(self, recipe: str, make: MakeSettings, began: float, survey_only: bool) -> None:
        """Look, say, and train unless only the survey is asked for; ``began`` is when the command did."""
        from napari_brgm.errors import BrgmError
        from napari_brgm.evaluation.subject_study import HowToStudy
        from napari_brgm.priors.prior import PriorInfo
        from napari_brgm.training.own_data import OwnTraining, bright_level, train_complete
        from napari_brgm.training.progress_file import ProgressFile
        from napari_brgm.training.recipe import Recipe, fitted
        from napari_brgm.training.train import TrainingRun
        from napari_brgm.training.work_folder import claim_folder

        make(PriorInfo(self.name))  # a resolution that the recipe does not take is refused before anything is read
        if survey_only:
            _, split = self._surveyed()
            if isinstance(settings := make(PriorInfo(self.name)), Recipe):
                fitted(settings, split.training, lambda _line: None)  # what it cannot train on is said now
            return
        progress = ProgressFile(self.work, self.out)
        try:
            with training_bar() as (tell, shown):

                def report(line: str) -> None:
                    tell(line)
                    progress.say(line)

                survey, split = self._surveyed()
                training = split.training
                info = PriorInfo(
                    self.name, self.modality or survey.modality, self.plane or survey.plane or "", survey.spacing_mm,
                    bright_level=bright_level(training.images, training.white),
                )  # fmt: skip
                if recipe != "linear":  # whose stages record more
                    claim_folder(self.work, recipe, training, {})
                left = max(self.seconds - (time.monotonic() - began), 0.0)
                run = TrainingRun(self.work, self.out, self.device, left, report, shown)
                own = OwnTraining(split, info, make(info), self.data.name, HowToStudy(seed=self.seed))
                done = train_complete(own, run, progress)
        except BrgmError as error:
            progress.end("failed", str(error))
            raise
        except KeyboardInterrupt:  # signals among them
            progress.end("stopped")
            raise
        except Exception as error:
            progress.end("failed", f"unexpected {type(error).__name__}: {error}")
            raise
        progress.end("done" if done else "stopped")
        if not done:
            say(f"the time is up; the same command goes on from {self.work}")

    def _surveyed(self) -> tuple[Survey, SubjectSplit]:
        """Look at the data, say what is there, part the subjects and draw the contact sheet."""
        from napari_brgm.datasets import Framing, cached
        from napari_brgm.datasets.contact_sheet import write_contact_sheet
        from napari_brgm.datasets.negatives import negatives_in
        from napari_brgm.datasets.survey import survey_of
        from napari_brgm.training.own_data import without_nearly_empty
        from napari_brgm.training.subject_split import FEWEST_SUBJECTS, merged_copies, split_subjects

        survey = survey_of(self.data, self.resolution, self.plane, self.spacing_mm)
        for line in survey.found:
            say(line)
        found = cached(
            self.data, Framing(self.resolution, survey.spacing_mm), self.work / "slices", pixel_mm=self.pixel_mm,
            plane=survey.plane or "axial", slices=self.slices, stride=survey.stride,
        )  # fmt: skip
        notes = list(survey.doubts)
        if survey.kind == "volumes":
            before = len(found.notes)
            found = without_nearly_empty(found)
            notes += found.notes[before:]
            found = replace(found, notes=found.notes[:before])
        found, fewer = merged_copies(found)
        if fewer:
            notes.append(f"{fewer} subjects hold a slice that another has too, and are taken for the same person")
        negatives = negatives_in(found)
        if len(negatives):
            notes.append(
                f"{len(negatives)} slices look like negatives of the others, the first {found.names[negatives[0]]}; "
                "invert them, or leave them out"
            )
        split = split_subjects(found, self.seed)
        if split.calibration is None:
            notes.append(
                f"{len(found.subject_names)} subjects are fewer than {FEWEST_SUBJECTS}: none are held out, and misfit "
                "limit and calibrated intervals are left out"
            )
        for note in notes:
            say(f"note: {note}")
        say_notes(found.notes, self.work / "slices")
        for part, of in split.parts().items():
            say(f"{part}: {len(of)} slices of {len(of.subject_names)} subjects")
        sheet = self.work / "contact-sheet.png"
        lines = [*survey.found, *(f"note: {note}" for note in notes)]
        write_contact_sheet(split.parts(), sheet, lines)
        say_path(sheet)
        return survey, split
