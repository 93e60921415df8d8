"""Import of published weights: read without running a byte, measured, written as safetensors with a model card.

The generator is stored in half precision with the statistics of 10,000 mapped latents (BRGM Sec. 2.2). What that costs
is measured on images of the file that was written, and said in the card and in the file.
"""

from __future__ import annotations

import re
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

import torch

from napari_brgm.errors import InputError, OutputError, WeightsError
from napari_brgm.priors.prior import PriorInfo
from napari_brgm.priors.stylegan2_prior import StyleGAN2Prior
from napari_brgm.zoo.assumed_clamp import images_of, without_clamp
from napari_brgm.zoo.files import read_prior, sha256_of, write_prior
from napari_brgm.zoo.import_card import import_card
from napari_brgm.zoo.published_file import read_published

if TYPE_CHECKING:
    from torch import Tensor

__all__ = ["ImportedWeights", "import_weights"]

_NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")


@dataclass(frozen=True, slots=True)
class ImportedWeights:
    """What an import made.

    Attributes
    ----------
    path, card : Path
        The safetensors file and its model card.
    sha256, original_sha256 : str
        Of the file written and of the published one.
    resolution, channels : int
        Of the images.
    fp16_error : float
        Largest difference between images of the stored and of the original weights; the image's range is [-1, 1].
    format : str
        Layout of the published file.
    taken : tuple of str
        What the file does not tell and was taken for granted, a sentence each; the card has them too.
    """

    path: Path
    card: Path
    sha256: str
    original_sha256: str
    resolution: int
    channels: int
    fp16_error: float
    format: str
    taken: tuple[str, ...] = ()


def import_weights(
    path: Path, name: str, folder: Path, *, licence: str = "", source: str = "", citation: str = "", identity: str = ""
) -> ImportedWeights:
    """Convert a published StyleGAN2 file to ``folder/name.safetensors`` and its card ``folder/name.md``.

    Parameters
    ----------
    path : Path
        As ``read_published`` takes it.
    name : str
        Letters, digits, dots, dashes and underscores.
    folder : Path
        Is made if it is not there.
    licence, source, citation : str
        For the card; empty if unknown.
    identity : str
        How it is known that the file is what its name says, for the card; empty where the name says nothing.

    Raises
    ------
    WeightsError
        The file is damaged, of another kind, or asks for anything but data. Nothing was run, nothing is written.
    OutputError
        The files are there already, or cannot be written.
    InputError
        The name is not one for a file.
    """
    if not _NAME.fullmatch(name):
        raise InputError(f"{name[:100]!r} is not a name for weights; use letters, digits, dots, dashes and underscores")
    weights, card = folder / f"{name}.safetensors", folder / f"{name}.md"
    for there in (weights, card):
        if there.exists():
            raise OutputError(f"{there} is there already; choose another name or remove it first")
    found = read_published(path)
    try:
        prior = StyleGAN2Prior.of_network(found.network(), PriorInfo(name))
        if prior.mapping is not None and "mapping.w_avg" not in found.weights:
            prior.mapping.w_avg.copy_(prior.latents.mean)
        images = _images(prior)
        taken = found.taken
        if found.stated.clamp_assumed:
            taken = (*taken, _at_stake(without_clamp(prior, images)))
    except WeightsError as error:
        raise WeightsError(f"{path.name}: {error}") from error
    notes = {"original_format": found.format, "original_sha256": sha256_of(path), "licence": licence, "source": source,
             "citation": citation, "identity": identity, "taken_for_granted": " ".join(taken)}  # fmt: skip
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=f".{name}-", dir=folder) as place:  # seen whole or not at all
            part = Path(place) / weights.name
            write_prior(prior, part, notes=notes)
            again = read_prior(part)
            assert isinstance(again, StyleGAN2Prior)
            change = float((images_of(again) - images).abs().max())
            sha256 = write_prior(prior, part, notes=notes | {"half_precision_error": f"{change:.3g}"})
            written = Path(place) / card.name
            written.write_text(import_card(prior, found, path.name, notes, change, taken), encoding="utf-8")
            written.replace(card)
            try:
                part.replace(weights)
            except OSError:
                card.unlink()
                raise
    except (OSError, OutputError) as error:
        raise OutputError(f"the weights cannot be written to {folder}: choose a folder that can be written") from error
    return ImportedWeights(
        weights,
        card,
        sha256,
        notes["original_sha256"],
        prior.resolution,
        prior.channels,
        change,
        found.format,
        taken,
    )


def _at_stake(difference: float) -> str:
    """What the clamp that was taken changes."""
    if difference == 0:
        return "Without any clamp, four images came out the same: it reaches none of their activations."
    return f"It matters: without any clamp, four images differ by up to {difference:.2g} in their range of [-1, 1]."


def _images(prior: StyleGAN2Prior) -> Tensor:
    """Images (N, C, R, R) of some z, with the stored noise maps; WeightsError where the net cannot be used."""
    images = images_of(prior)
    usable = torch.isfinite(images).all() and torch.isfinite(prior.latents.covariance).all()
    try:
        prior.latents.factor  # noqa: B018
    except RuntimeError:  # not positive definite
        usable = torch.tensor(False)
    if not usable:
        raise WeightsError("this network draws values that are not finite; the file is damaged")
    return images
