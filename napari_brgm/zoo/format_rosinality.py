"""Layout (c): the generator of the widely used re-implementation by rosinality, mostly a training checkpoint (.pt).

A state dict under other names, with a leading axis of one; ``latent_avg`` beside it, if there, is the mean w; ``args``
holds what the training was called with. Nothing in this code base is clamped.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Final

import torch
from torch import Tensor

from napari_brgm.errors import WeightsError
from napari_brgm.priors.stylegan2_layers import FIR
from napari_brgm.zoo.inert_pickle import fields
from napari_brgm.zoo.published import PublishedNetwork, Stated, noise_map_name, shown, size_of, without_axes

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

__all__ = ["read_rosinality"]

_MOST_TENSORS: Final = 1_000  # a 1024 px generator has about 250
_STYLE = re.compile(r"style\.([1-9]\d?)\.(weight|bias)")
_NOISE = re.compile(r"noises\.noise_(\d{1,2})")
_BLUR = re.compile(r"(convs\.\d{1,2}\.conv\.blur|to_rgbs\.\d{1,2}\.upsample)\.kernel")
_LAYER = re.compile(r"(conv1|to_rgb1|convs\.\d{1,2}|to_rgbs\.\d{1,2})\.(.{1,40})")
_PARTS: Final = {
    "conv.weight": "weight", "conv.modulation.weight": "affine.weight", "conv.modulation.bias": "affine.bias",
    "noise.weight": "noise_strength", "activate.bias": "bias", "bias": "bias",
}  # fmt: skip


def read_rosinality(
    held: Mapping[str, Any], decode: Callable[[Any, str], Tensor], beside: Mapping[Any, Any]
) -> PublishedNetwork:
    """Generator of stand-ins of tensors, under the names of this layout.

    Parameters
    ----------
    held : mapping
    decode : callable
        Tensor of a stand-in and its name.
    beside : mapping
        What else the file holds.

    Raises
    ------
    WeightsError
        It is not a StyleGAN2 generator.
    """
    if len(held) > _MOST_TENSORS:
        raise WeightsError("the file holds more tensors than any published generator; it was refused")
    weights: dict[str, Tensor] = {}
    for name, tensor in held.items():
        told = shown(name, 60)
        weights.update(_renamed(name, told, decode(tensor, told)))
    if beside.get("latent_avg") is not None:
        weights["mapping.w_avg"] = decode(beside["latent_avg"], "latent_avg").reshape(-1)
    args = fields(beside.get("args"))
    latent = size_of(args.get("latent"), "latent")
    stated = Stated(
        resolution=size_of(args.get("size"), "size"),
        z_dim=latent,
        w_dim=latent,
        mapping_layers=size_of(args.get("n_mlp"), "n_mlp"),
        architecture="skip",
    )
    return PublishedNetwork("rosinality checkpoint", weights, stated)


def _renamed(name: str, told: str, tensor: Tensor) -> dict[str, Tensor]:
    """Our name and layout of an entry; nothing for the constant filters."""
    if _BLUR.fullmatch(name):
        fir = torch.outer(torch.tensor(FIR), torch.tensor(FIR)) / 16  # with the gain 4 of up-sampling
        if tensor.shape != fir.shape or not torch.allclose(tensor, fir, atol=1e-3):
            raise WeightsError(f"{told} is not the [1, 3, 3, 1] filter; such networks cannot be imported")
        return {}
    if name == "input.input":
        return {"synthesis.b4.const": without_axes(tensor, told, 1)}
    if match := _STYLE.fullmatch(name):
        return {f"mapping.fc{int(match[1]) - 1}.{match[2]}": tensor}
    if match := _NOISE.fullmatch(name):
        return {noise_map_name(int(match[1])): without_axes(tensor, told, 2)}
    match = _LAYER.fullmatch(name)
    if match is None or match[2] not in _PARTS:
        raise WeightsError(f"the file holds a tensor {told!r} that is in no StyleGAN2 generator")
    kind, _, number = match[1].partition(".")
    index = int(number or 0)
    module = {
        "conv1": "b4.conv1", "to_rgb1": "b4.torgb",
        "convs": f"b{8 * 2 ** (index // 2)}.conv{index % 2}", "to_rgbs": f"b{8 * 2**index}.torgb",
    }[kind]  # fmt: skip
    part = _PARTS[match[2]]
    if part == "weight":
        tensor = without_axes(tensor, told, 1)
    elif part in ("bias", "noise_strength"):
        tensor = tensor.reshape(() if part == "noise_strength" and tensor.numel() == 1 else -1)
    return {f"synthesis.{module}.{part}": tensor}
