"""A prior of one's own, complete: subjects held out, training, then what is measured on those, all in one file.

    slices -> split by subject -> training (train.py) -> misfit limit, scales, factors (subject_study.py) -> file, card

Everything that takes time is kept in the work folder.
"""

from __future__ import annotations

import json
import shutil
import time
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_brgm.errors import OutputError
from napari_brgm.evaluation.subject_study import HowToStudy, SubjectStudy
from napari_brgm.reason import reason_of
from napari_brgm.training.card import Card, write_card
from napari_brgm.training.chosen_poses import adapted
from napari_brgm.training.recipe import Recipe, fitted
from napari_brgm.training.subject_split import FEWEST_SUBJECTS
from napari_brgm.training.train import TrainingRun, train
from napari_brgm.zoo.files import read_prior, sha256_of, write_prior

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    import numpy.typing as npt

    from napari_brgm.datasets import SliceSet
    from napari_brgm.priors.prior import PriorInfo
    from napari_brgm.training.lcm_settings import LcmSettings
    from napari_brgm.training.progress_file import ProgressFile
    from napari_brgm.training.subject_split import SubjectSplit

__all__ = ["OwnTraining", "bright_level", "train_complete", "without_nearly_empty"]

_TISSUE = 0.06  # of white
_SPARSE = 0.1  # of the tissue in the fullest slice of a subject
_SMALLEST = 32  # px of a frame on which the tasks of the study fit


@dataclass(frozen=True, slots=True)
class OwnTraining:
    """What is trained.

    Attributes
    ----------
    split : SubjectSplit
    info : PriorInfo
    settings : Recipe or LcmSettings
    source : str
        Name of the folder or archive, for records and card.
    how : HowToStudy
    """

    split: SubjectSplit
    info: PriorInfo
    settings: Recipe | LcmSettings
    source: str
    how: HowToStudy


def train_complete(own: OwnTraining, run: TrainingRun, progress: ProgressFile) -> bool:
    """Train and measure, or go on with it in ``run.work``.

    Returns
    -------
    bool
        False if the time ran out before the weights file was written; the same call goes on.

    Raises
    ------
    BrgmError
        The slices, the settings, the device or the folders cannot be used; one sentence.
    """
    began = time.monotonic()

    def left() -> float:
        return run.seconds - (time.monotonic() - began)

    slices, settings = own.split.training, own.settings
    if isinstance(settings, Recipe):
        fitted(settings, slices, lambda _line: None)  # what cannot be trained on is refused first
        progress.stage("choosing how slices are moved about")
        settings = fitted(adapted(settings, slices, run.work, run.report), slices, run.report)
    trained = _trained(slices, own.info, settings, replace(run, seconds=left()), progress)
    if trained is None:
        return False
    prior = read_prior(trained)
    figures, left_out = None, _left_out(own.split, prior.channels, prior.resolution)
    if not left_out and own.split.calibration is not None and own.split.test is not None:
        progress.stage("measuring on held-out subjects")
        run.report(
            f"measuring on {len(own.split.calibration.subject_names)} subjects for the calibration and "
            f"{len(own.split.test.subject_names)} for the report"
        )
        study = SubjectStudy(
            prior, own.split.calibration, own.split.test, f"held-out subjects of {own.source}", run.work / "study",
            replace(own.how, device=run.device), _both(progress, run),
        )  # fmt: skip
        figures = study.run(left())
        if figures is None:
            return False
        prior.info = replace(prior.info, misfit_limit=figures.misfit_limit, calibration=figures.calibration)
    for sentence in left_out:
        run.report(f"not measured: {sentence}")
    digest = write_prior(prior, run.out)
    _copied(trained.with_suffix(".png"), run.out.with_suffix(".png"))
    card = Card(
        prior.info, slices.describe(), settings, digest, time.monotonic() - began, own.split.describe(), figures,
        left_out,
    )  # fmt: skip
    write_card(run.out, card)
    if figures is not None:
        for kind in ("in-painting", "super-resolution"):
            of = figures.coverage[kind]
            run.report(
                f"{kind}: 90 % intervals hold {of.everywhere:.1%} of the hidden pixels of {of.subjects} test subjects "
                f"({of.tissue:.1%} of tissue; {of.before:.1%} as it came)"
            )
    run.report(f"{run.out.name}: {run.out.stat().st_size / 1e6:.1f} MB, sha256 {digest}")
    return True


def without_nearly_empty(slices: SliceSet) -> SliceSet:
    """Leave out slices with less than a tenth of the tissue of their subject's fullest one."""
    flat = slices.images.reshape(len(slices), -1)
    share = np.array([float((row > _TISSUE * slices.white).mean()) for row in flat])
    most = np.zeros(len(slices.subject_names))
    np.maximum.at(most, slices.subjects, share)
    kept = share >= _SPARSE * most[slices.subjects]
    if kept.all():
        return slices
    return slices.taking(np.flatnonzero(kept), f"{int((~kept).sum())} slices at the ends, which show little, left out")


def bright_level(images: npt.NDArray[Any], white: int) -> float:
    """Median over slices (N, C, R, R) of the 99th percentile of their tissue, grey levels 0..255."""
    found = []
    for image in images[:: max(len(images) // 500, 1)]:
        grey = image.astype(np.float32) * (255 / white)
        tissue = grey[grey > 0.1 * np.percentile(grey, 99.5)]
        if tissue.size:
            found.append(float(np.percentile(tissue, 99)))
    return round(float(np.median(found)), 1) if found else 230.0


def _trained(
    slices: SliceSet, info: PriorInfo, settings: Recipe | LcmSettings, run: TrainingRun, progress: ProgressFile
) -> Path | None:
    """The weights file of the training, from an earlier run or made now; None if the time ran out."""
    path, record = run.work / "trained.safetensors", run.work / "trained.json"
    plain = {"slices": slices.digest(), "info": repr(info), "settings": repr(settings)}
    try:
        if json.loads(record.read_text(encoding="utf-8")) == plain | {"sha256": sha256_of(path)}:
            return path
    except (OSError, ValueError):
        pass
    progress.stage("training")
    digest = train(slices, info, settings, replace(run, out=path, progress=_shown(progress, run)))
    if digest is None:
        return None
    try:
        record.write_text(json.dumps(plain | {"sha256": digest}) + "\n", encoding="utf-8")
    except OSError as error:
        raise OutputError(f"cannot write into the work folder {run.work}: {reason_of(error)}") from error
    return path


def _left_out(split: SubjectSplit, channels: int, resolution: int) -> tuple[str, ...]:
    """Sentences about what cannot be measured, and why."""
    what = "misfit limit, scales and factors of the intervals are left out"
    if split.calibration is None:
        return (f"with {len(split.training.subject_names)} subjects, fewer than {FEWEST_SUBJECTS}, {what}",)
    if channels != 1:
        return (f"{what}, which are of grey images only",)
    if resolution < _SMALLEST:
        return (f"{what} on a frame of fewer than {_SMALLEST} pixels",)
    return ()


def _shown(progress: ProgressFile, run: TrainingRun) -> Callable[[int, int], None]:
    def tell(done: int, total: int) -> None:
        progress.tell(done, total)
        if run.progress is not None:
            run.progress(done, total)

    return tell


def _both(progress: ProgressFile, run: TrainingRun) -> Callable[[int, int, str], None]:
    def tell(done: int, total: int, text: str) -> None:
        progress.tell(done, total, text)
        if run.progress is not None:
            run.progress(done, total)

    return tell


def _copied(source: Path, target: Path) -> None:
    try:
        shutil.copyfile(source, target)
    except OSError as error:
        raise OutputError(f"the sample sheet cannot be written to {target}: {reason_of(error)}") from error
