"""The generator among the things in a file, and a bare state dict of it, in the layout that its names tell.

The metadata of a safetensors file may say what its tensors do not: ``conv_clamp`` (a number, or 'none').
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import torch

from napari_brgm.errors import WeightsError
from napari_brgm.zoo.format_pytorch import read_pytorch
from napari_brgm.zoo.format_rosinality import read_rosinality
from napari_brgm.zoo.generator_entry import GeneratorEntry, generator_in
from napari_brgm.zoo.numpy_values import array, is_array

if TYPE_CHECKING:
    from collections.abc import Callable

    from torch import Tensor

    from napari_brgm.zoo.published import PublishedNetwork
    from napari_brgm.zoo.torch_storage import TensorDecoder

__all__ = ["read_entry", "read_table"]


def read_entry(value: Any, decoder: TensorDecoder) -> PublishedNetwork:
    """Generator of an unpickled file.

    Raises
    ------
    WeightsError
        There is none, or it is not a StyleGAN2 generator.
    """

    def decode(held: Any, name: str) -> Tensor:
        if not is_array(held):
            return decoder.decode(held, name)
        tensor = array(held, name)
        decoder.spend(tensor.numel())
        return tensor

    return _read(generator_in(value), decode)


def read_table(tensors: dict[str, Tensor], metadata: dict[str, str]) -> PublishedNetwork:
    """Generator of a state dict in a file that says nothing of its layout.

    Raises
    ------
    WeightsError
        It is not a StyleGAN2 generator.
    """

    def decode(held: Tensor, name: str) -> Tensor:
        if not held.is_floating_point() or not torch.isfinite(held).all():
            raise WeightsError(f"{name} does not hold finite real numbers; the file is damaged or of another kind")
        return held.float()

    entry = generator_in(dict(tensors))
    said = metadata.get("conv_clamp")
    if said is not None:
        entry = replace(entry, beside=entry.beside | {"conv_clamp": _clamp(said)})
    return _read(entry, decode)


def _clamp(said: str) -> float | None:
    if said.strip().lower() in ("none", "null", ""):
        return None
    try:
        return float(said)
    except ValueError as error:
        raise WeightsError("conv_clamp in the metadata of the file is neither a number nor 'none'") from error


def _read(entry: GeneratorEntry, decode: Callable[[Any, str], Tensor]) -> PublishedNetwork:
    if entry.is_rosinality:
        found = read_rosinality(entry.held, decode, entry.beside)
    else:
        found = read_pytorch(entry.held, decode, entry.states, entry.beside)
    return replace(found, taken=(*entry.taken, *found.taken))
