"""Weights files of supervised rivals: safetensors, with a card that says what was trained, on what, and for how long.

The card is JSON in the metadata: name, set, size, factors, fold, filters, blocks, images shown, seconds of one core,
seed, slices, subjects. Nothing in such a file can run, and no number in it is believed before it is looked at.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import torch

from napari_brgm.errors import OutputError, WeightsError
from napari_brgm.evaluation.supervised.net import RestoringNet
from napari_brgm.evaluation.supervised.role import ROLES
from napari_brgm.reason import advice_of, reason_of
from napari_brgm.tensor_file import read_header, read_tensors, write_tensors

if TYPE_CHECKING:
    from pathlib import Path

    from torch import Tensor

__all__ = ["SupervisedCard", "read_card", "read_net", "write_net"]

_FORMAT = "napari-brgm supervised 1"
_MOST = {"size": 1024, "fold": 8, "filters": 256}


@dataclass(frozen=True, slots=True)
class SupervisedCard:
    """What a weights file says of itself.

    Attributes
    ----------
    name : str
        Of its role.
    set_name : str
        Of the training slices, for example 'brain-128'.
    size : int
        Side of the slices.
    factors : tuple of int
        Of super-resolution; empty for in-painting.
    fold, filters, blocks
        As of ``SupervisedRole``.
    images : int
        Slices shown, those before which it began with another network's weights not counted.
    seconds : float
        Of one core, spent on it.
    before : float
        Seconds of one core spent on the weights that it began with.
    seed, slices, subjects : int
        Of the training; how many there were.
    """

    name: str
    set_name: str
    size: int
    factors: tuple[int, ...]
    fold: int
    filters: int
    blocks: tuple[int, ...]
    images: int
    seconds: float
    before: float
    seed: int
    slices: int
    subjects: int


def write_net(path: Path, net: RestoringNet, card: SupervisedCard) -> None:
    """Write weights and card; the file appears only when it is complete.

    Raises
    ------
    OutputError
        It cannot be written.
    """
    tensors = {name: tensor.float() for name, tensor in net.state_dict().items()}
    try:
        write_tensors(path, tensors, {"format": _FORMAT, "card": json.dumps(asdict(card))})
    except OSError as error:
        advice = advice_of(error, "choose a folder that can be written")
        raise OutputError(f"the weights cannot be written to {path}: {reason_of(error)}; {advice}") from error


def read_card(path: Path) -> SupervisedCard:
    """Read what a file says of itself; its tensors are left unread.

    Raises
    ------
    WeightsError
        It is missing, damaged, or not of a supervised rival.
    """
    if not path.is_file():
        raise WeightsError(f"there is no weights file {path}; make it by `napari-brgm evaluate train-rivals`")
    try:
        _, metadata = read_header(path)
    except (OSError, ValueError) as error:
        raise WeightsError(f"{path.name} cannot be read as safetensors weights: {reason_of(error)}") from error
    if metadata.get("format") != _FORMAT:
        raise WeightsError(
            f"{path.name} is not of a supervised rival; give a file that `napari-brgm evaluate train-rivals` wrote"
        )
    try:
        return _checked(json.loads(metadata["card"]))
    except (KeyError, TypeError, ValueError, RecursionError) as error:
        raise WeightsError(f"the card in {path.name} is damaged; get the file again, or train it anew") from error


def read_net(path: Path) -> tuple[RestoringNet, SupervisedCard]:
    """Read a network and its card.

    Raises
    ------
    WeightsError
        As of ``read_card``; or its tensors are not those of the network that the card tells of.
    """
    card = read_card(path)
    try:
        tensors: dict[str, Tensor] = read_tensors(path)[0]
        with torch.random.fork_rng(devices=[]):  # its first weights are random, and replaced
            net = RestoringNet(card.size, card.fold, card.filters, card.blocks)
        net.load_state_dict(tensors)
    except (OSError, ValueError, RuntimeError) as error:
        raise WeightsError(
            f"{path.name} does not hold the network that its card tells of; get the file again, or train it anew"
        ) from error
    if not all(bool(tensor.isfinite().all()) for tensor in net.state_dict().values()):
        raise WeightsError(f"{path.name} holds values that are not finite; train it anew")
    return net.eval().requires_grad_(False), card


def _checked(found: Any) -> SupervisedCard:
    """The card, if every entry is what it should be; else ValueError, KeyError or TypeError."""
    card = SupervisedCard(**found | {key: tuple(found[key]) for key in ("factors", "blocks")})
    counts = [card.size, card.fold, card.filters, card.images, card.seed, card.slices, card.subjects]
    whole = all(type(n) is int and n >= 0 for n in (*counts, *card.factors, *card.blocks))
    timed = all(type(n) in (int, float) and 0 <= n < float("inf") for n in (card.seconds, card.before))
    if not (whole and timed and type(card.set_name) is str and card.name in [role.name for role in ROLES]):
        raise ValueError("an entry is of another kind")
    sizes = all(0 < getattr(card, key) <= most for key, most in _MOST.items()) and card.filters % 8 == 0
    if not (sizes and 1 <= len(card.blocks) <= 6 and all(1 <= n <= 8 for n in card.blocks)):
        raise ValueError("no such network is made")
    if card.size % (card.fold * 2 ** (len(card.blocks) - 1)) or not all(2 <= n <= 64 for n in card.factors):
        raise ValueError("the sizes do not fit")
    return card
