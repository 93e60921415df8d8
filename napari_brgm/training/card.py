"""Model card of a trained prior: what is known when a training ends, and what a person has to add."""

from __future__ import annotations

import math
import platform
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import torch

from napari_brgm import __version__
from napari_brgm.errors import OutputError
from napari_brgm.reason import reason_of

if TYPE_CHECKING:
    from pathlib import Path

    from napari_brgm.evaluation.subject_study import StudyFigures
    from napari_brgm.priors.prior import PriorInfo
    from napari_brgm.training.autoencoder_settings import AutoencoderSettings
    from napari_brgm.training.gan_settings import GanSettings
    from napari_brgm.training.lcm_settings import LcmSettings
    from napari_brgm.training.recipe import Recipe

    AnySettings = Recipe | AutoencoderSettings | GanSettings | LcmSettings  # of the four recipes

__all__ = ["Card", "write_card"]

_ASK = "**to be written by the person who trained it**"
_KINDS = ("in-painting", "super-resolution")
_QUESTIONS = (
    "Where do the data come from, who agreed to their use, and under which licence may weights made of them go on?",
    "Are all of them free of names, faces and burned-in text that draws of the prior could repeat?",
    "Is every subject in one folder only? A person who is there twice makes the figures look better than they are.",
    "Who are the subjects (age, disease, scanner, protocol), and which scans are therefore outside of the prior?",
    "Is left really left in all of them, and what follows for what it is used for?",
)


@dataclass(frozen=True, slots=True)
class Card:
    """What a training knows of its product.

    Attributes
    ----------
    info : PriorInfo
    data : dict
        ``SliceSet.describe()``: counts and rules, no names.
    settings : AnySettings
    sha256 : str
        Of the weights file.
    seconds : float
        Of the run that ended the training; earlier ones are not counted.
    split : dict or None
        ``SubjectSplit.describe()``, where subjects were held out to calibrate and report on.
    figures : StudyFigures or None
        What was measured on those.
    left_out : tuple of str
        Sentences about what was not measured, and why.
    """

    info: PriorInfo
    data: dict[str, Any]
    settings: AnySettings
    sha256: str
    seconds: float
    split: dict[str, Any] | None = None
    figures: StudyFigures | None = None
    left_out: tuple[str, ...] = ()

    def text(self) -> str:
        """The card in Markdown."""
        info, data = self.info, self.data
        spacing = f"{info.spacing_mm:g} mm" if info.spacing_mm else "pixel size as in the images"
        gpu = torch.cuda.get_device_name() if torch.cuda.is_available() else "no GPU"
        hardware = f"{platform.machine()} with {torch.get_num_threads()} threads, {gpu}, torch {torch.__version__}"
        plain = {k: v for k, v in asdict(self.settings).items() if k != "info"}
        settings = "\n".join(f"| `{key}` | {_cell(value)} |" for key, value in plain.items())
        questions = "\n".join(f"- {question}" for question in _QUESTIONS)
        return f"""# {info.name}

{info.modality or "Images"}, {info.plane or "plane not stated"}, {data["resolution"]} x {data["resolution"]}, {spacing}.
**Research only. What it draws is synthetic; it is not for diagnosis.**

## Data
{data["slices"]} slices of {data["subjects"]} subjects, {data["channels"]} channel(s), {data["bits"]} bits.
Grey levels: {data["levels"]}.
{self._parted()}Origin and licence of the data: {_ASK}.

## Recipe
`napari-brgm train`, recipe `{type(self.settings).__name__}`, napari-brgm {__version__}.
The run that ended the training took {self.seconds / 60:.0f} minutes on {hardware}.

| setting | value |
|---|---|
{settings}

## Held-out figures
{self._measured()}
What it cannot draw counts as noise of {info.representation_sigma:.0f} grey levels of 0..255 in restorations.

## Samples
![samples]({info.name}.png)

## Intended use and limits
{_ASK}: which scans it suits, which it does not. Only a person can answer:

{questions}

SHA-256 `{self.sha256}`
"""

    def _parted(self) -> str:
        """Who was trained on and who was held out."""
        if self.split is None:
            return ""
        counts = {k: v for k, v in self.split.items() if isinstance(v, dict)}
        named = "; ".join(f"{k} {v['subjects']} subjects, {v['slices']} slices" for k, v in counts.items())
        return f"Parted by subject, seed {self.split['seed']}: {named}.\n"

    def _measured(self) -> str:
        """Coverage of the intervals, misfit limit, and what was not measured."""
        lines = [f"- Not measured: {sentence}." for sentence in self.left_out]
        found = self.figures
        if found is None:
            lines.append(f"- `napari-brgm evaluate priors --priors FILE --data DIR --out DIR` measures them: {_ASK}.")
            return "\n".join(lines)
        of = found.calibration
        scales = ", ".join(f"{name} {value:.3g}" for name, value in sorted(of.scales.items()))
        table = []
        for name, c in sorted(found.coverage.items(), key=lambda item: item[0] not in _KINDS):
            tissue = f"{c.tissue:.1%}" if math.isfinite(c.tissue) else "-"
            shares = f"{c.before:.1%} | {c.everywhere:.1%} | {tissue}"
            table.append(f"| {name} | {c.subjects} | {c.slices} | {shares} | {c.rmse:.1f} |")
        rows = "\n".join(table)
        return f"""Scales ({scales}) and factors are those of {of.slices} slices of {of.subjects} calibration subjects,
method `map`. Coverage is the share of hidden pixels in 90 % intervals, of test subjects that neither training nor
calibration saw.

| task | subjects | slices | as it came | calibrated | of tissue | RMSE, grey levels |
|---|---|---|---|---|---|---|
{rows}

Misfit limit {found.misfit_limit:.3f}; {found.below_limit:.0%} of the test slices are below it.
""" + "\n".join(lines)


def write_card(weights: Path, card: Card) -> None:
    """Write the card beside ``weights``; one that a person has written is kept.

    Raises
    ------
    OutputError
        The folder cannot be written.
    """
    path = weights.with_suffix(".md")
    try:
        if not path.exists() or _ASK in path.read_text(encoding="utf-8"):
            path.write_text(card.text().replace(f"({card.info.name}.png)", f"({weights.stem}.png)"), encoding="utf-8")
    except OSError as error:
        raise OutputError(f"the model card cannot be written to {path}: {reason_of(error)}") from error


def _cell(value: object) -> str:
    """A setting in a table."""
    if isinstance(value, dict):
        return ", ".join(f"{key} {_cell(inner)}" for key, inner in value.items())
    return str(value).replace("|", "/")
