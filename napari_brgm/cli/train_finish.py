"""``napari-brgm train --recipe finish``: a shipped prior, or one's own, gets a new finish."""

from __future__ import annotations

import time
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, get_args

from napari_brgm.cli.progress import training_bar
from napari_brgm.cli.terminal import say
from napari_brgm.errors import InputError
from napari_brgm.scan import Plane

if TYPE_CHECKING:
    from napari_brgm.training.finish import FinishSettings

__all__ = ["FinishWish", "say_notes"]

_NOTES = 8  # of a folder of scans there may be thousands


@dataclass(frozen=True, slots=True)
class FinishWish:
    """Options of the command, as they were given.

    Attributes
    ----------
    given : dict
        Settings of the training, by their names there.
    """

    like: str | None
    data: Path
    work: Path
    out: Path
    mirror: bool
    pixel_mm: float | None
    slices: tuple[int, int] | None
    learning_rate: float | None
    given: dict[str, Any]
    seconds: float
    device: str
    warm_start: Path | None

    def train(self, began: float) -> None:
        """Train; ``began`` is when the command did (``time.monotonic()``)."""
        from napari_brgm.datasets import Framing, cached, holds_images
        from napari_brgm.training.finish_recipe import check_finishable, train_finish
        from napari_brgm.training.finish_run import FinishRun
        from napari_brgm.training.poses import Poses
        from napari_brgm.training.shipped import SHIPPED
        from napari_brgm.zoo.registry import entry_of, file_of, load_prior

        if self.like is None:
            raise InputError("a finish belongs to a prior; name it with --like, for example --like brain-axial-128")
        prior = load_prior(self.like)
        check_finishable(prior)
        entry, shipped = entry_of(self.like), SHIPPED.get(self.like)
        source = Path(self.like) if entry is None else file_of(entry)
        assert source is not None, "a prior with an exact linear part has a file"
        settings = self._settings(prior.resolution)
        images, pixel_mm = holds_images(self.data), self.pixel_mm
        if pixel_mm is None and shipped is not None and images:  # volumes tell theirs
            pixel_mm = shipped.pixel_mm
        planes: tuple[Plane, ...] = get_args(Plane)
        plane = next((one for one in planes if one == prior.info.plane), planes[0])
        found = cached(
            self.data, Framing(prior.resolution, prior.info.spacing_mm), self.work / "slices", pixel_mm=pixel_mm,
            plane=plane, slices=self.slices, deblock=images and (shipped is None or shipped.deblock),
        )  # fmt: skip
        say_notes(found.notes, self.work / "slices")
        with training_bar() as (tell, progress):
            run = FinishRun(
                source, self.work, self.out, self.mirror or (shipped is not None and shipped.recipe.mirror),
                Poses() if shipped is None else shipped.recipe.poses, self.device,
                max(self.seconds - (time.monotonic() - began), 0.0), tell, progress, self.warm_start,
            )  # fmt: skip
            digest = train_finish(found, prior, settings, run)
        if digest is None:
            say(f"the time is up; the same command goes on from {self.work}")

    def _settings(self, resolution: int) -> FinishSettings:
        from napari_brgm.training.finish_recipe import finish_settings

        settings = replace(finish_settings(resolution, self.device), **self.given)
        if self.learning_rate is None:
            return settings
        share = self.learning_rate / settings.rate  # the discriminators' keeps its ratio
        return replace(settings, rate=self.learning_rate, critic_rate=share * settings.critic_rate)


def say_notes(notes: tuple[str, ...], folder: Path) -> None:
    """Say the first notes of a set of slices; all of them are kept in ``folder``."""
    for note in notes[:_NOTES]:
        say(note)
    if len(notes) > _NOTES:
        say(f"and {len(notes) - _NOTES} more notes like these, which {folder} keeps")
