"""Family: how the priors of one kind are read, written and told apart; one file each in zoo/families."""

from __future__ import annotations

import json
from collections.abc import Callable, Collection
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import torch
    from torch import Tensor

    from napari_brgm.priors.prior import Prior
    from napari_brgm.zoo.entry import PriorEntry

__all__ = ["Family", "WeightsFile"]


@dataclass(frozen=True, slots=True)
class WeightsFile:
    """What a weights file holds.

    Attributes
    ----------
    tensors : dict
        Floats in float32, all finite.
    metadata : dict
    digest : str
        SHA-256 of the file.
    name : str
        For a prior whose file does not name it.
    """

    tensors: dict[str, Tensor]
    metadata: dict[str, str]
    digest: str
    name: str

    def under(self, prefix: str) -> dict[str, Tensor]:
        """Tensors whose names begin with ``prefix``, which is taken off."""
        return {k.removeprefix(prefix): v for k, v in self.tensors.items() if k.startswith(prefix)}

    @property
    def fields(self) -> dict[str, Any]:
        """The description of the prior, JSON in the metadata."""
        found: dict[str, Any] = json.loads(self.metadata["info"])
        return found


Read = Callable[[WeightsFile], "Prior"]
Contents = Callable[["Prior", "torch.dtype"], tuple[dict[str, "Tensor"], dict[str, str]]]


def _default(names: Collection[str]) -> str:
    return "default"


@dataclass(frozen=True, slots=True)
class Family:
    """A kind of priors.

    Attributes
    ----------
    name : str
        As ``PriorInfo.family`` says it.
    formats : tuple of str
        What the metadata of its files calls their layout; "" is that of files which say nothing.
    read : callable or None
        Prior of a file; None for priors without weights.
    contents : callable or None
        Tensors and metadata of a file, of a prior and the type of its floats.
    preset : callable
        Settings that suit a file, from the names of its tensors, where nothing else tells them.
    rank : int
        Priors of lower rank are offered first.
    builtin : tuple of PriorEntry
        Those that need no file.
    make : callable or None
        A built-in prior, from its name.
    """

    name: str
    formats: tuple[str, ...] = ()
    read: Read | None = None
    contents: Contents | None = None
    preset: Callable[[Collection[str]], str] = _default
    rank: int = 0
    builtin: tuple[PriorEntry, ...] = ()
    make: Callable[[str], Prior] | None = None
