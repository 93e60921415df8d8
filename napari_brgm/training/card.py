"""Model card of a trained prior: what is known when a training ends, and what a person has to add."""

from __future__ import annotations

import platform
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import torch

from napari_brgm import __version__
from napari_brgm.errors import OutputError
from napari_brgm.reason import reason_of

if TYPE_CHECKING:
    from pathlib import Path

    from napari_brgm.priors.prior import PriorInfo
    from napari_brgm.training.autoencoder_settings import AutoencoderSettings
    from napari_brgm.training.gan_settings import GanSettings
    from napari_brgm.training.lcm_settings import LcmSettings
    from napari_brgm.training.recipe import Recipe

    AnySettings = Recipe | AutoencoderSettings | GanSettings | LcmSettings  # of the four recipes

__all__ = ["Card", "write_card"]

_ASK = "**to be written by the person who trained it**"


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
    """

    info: PriorInfo
    data: dict[str, Any]
    settings: AnySettings
    sha256: str
    seconds: float

    def text(self) -> str:
        """The card in Markdown."""
        info, data = self.info, self.data
        spacing = f"{info.spacing_mm:g} mm" if info.spacing_mm else "pixel size as in the images"
        gpu = torch.cuda.get_device_name() if torch.cuda.is_available() else "no GPU"
        hardware = f"{platform.machine()} with {torch.get_num_threads()} threads, {gpu}, torch {torch.__version__}"
        plain = {k: v for k, v in asdict(self.settings).items() if k != "info"}
        settings = "\n".join(f"| `{key}` | {_cell(value)} |" for key, value in plain.items())
        return f"""# {info.name}

{info.modality or "Images"}, {info.plane or "plane not stated"}, {data["resolution"]} x {data["resolution"]}, {spacing}.
**Research only. What it draws is synthetic; it is not for diagnosis.**

## Data
{data["slices"]} slices of {data["subjects"]} subjects, {data["channels"]} channel(s), {data["bits"]} bits.
Grey levels: {data["levels"]}.
Origin and licence of the data: {_ASK}.

## Recipe
`napari-brgm train`, recipe `{type(self.settings).__name__}`, napari-brgm {__version__}.
The run that ended the training took {self.seconds / 60:.0f} minutes on {hardware}.

| setting | value |
|---|---|
{settings}

## Held-out figures
`napari-brgm evaluate priors --priors FILE --data DIR --out DIR` measures them: {_ASK}.
What it cannot draw counts as noise of {info.representation_sigma:.0f} grey levels of 0..255 in restorations.

## Samples
![samples]({info.name}.png)

## Intended use and limits
{_ASK}: which scans it suits, which it does not.

SHA-256 `{self.sha256}`
"""


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
