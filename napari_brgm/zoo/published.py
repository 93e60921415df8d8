"""A published generator: its weights under our names, and what its file says of it, compared with the shapes."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import torch

from napari_brgm.errors import WeightsError
from napari_brgm.priors.stylegan2 import StyleGAN2

if TYPE_CHECKING:
    from collections.abc import Iterable

    from torch import Tensor

    from napari_brgm.priors.stylegan2_layers import Activation

__all__ = [
    "USUAL_CLAMP", "PublishedNetwork", "Stated", "activation_of", "clamp_of", "noise_map_name", "refuse_stylegan3",
    "shown", "size_of", "without_axes",
]  # fmt: skip

USUAL_CLAMP: Final = 256.0  # what the public PyTorch code trains with by default, in mixed precision
_CONVOLUTION = re.compile(r"(synthesis\.b(\d{1,3}|[1-3]\d{3})\.conv[01])\.weight")
_ACTIVATIONS: Final[tuple[Activation, ...]] = ("lrelu", "lsoftplus")


@dataclass(frozen=True, slots=True)
class Stated:
    """What a file says of its generator; None where it says nothing.

    Attributes
    ----------
    channel_base, channel_max : int or None
        A block of resolution r has min(channel_base / r, channel_max) channels.
    classes : int
        Labels that the generator asks for; 0 for an unconditional one.
    features : int or None
        Width of the mapping network's inner layers.
    conv_clamp : float or None
        Bound of the activations; None for no bound.
    clamp_assumed : bool
        The file does not tell the bound, and ``conv_clamp`` is what such networks usually have.
    """

    resolution: int | None = None
    channels: int | None = None
    z_dim: int | None = None
    w_dim: int | None = None
    mapping_layers: int | None = None
    features: int | None = None
    channel_base: int | None = None
    channel_max: int | None = None
    classes: int = 0
    architecture: str | None = None
    conv_clamp: float | None = None
    clamp_assumed: bool = False
    activation: Activation = "lrelu"
    mapping_activation: Activation = "lrelu"


@dataclass(frozen=True, slots=True)
class PublishedNetwork:
    """A generator as its file has it.

    Attributes
    ----------
    format : str
        'PyTorch pickle', 'PyTorch state dict', 'TensorFlow pickle' or 'rosinality checkpoint'.
    weights : dict
        Named as ``StyleGAN2.from_state_dict`` takes them, float32. ``mapping.w_avg`` may be missing.
    stated : Stated
    taken : tuple of str
        What the file does not tell and was taken for granted, a sentence each.
    """

    format: str
    weights: dict[str, Tensor]
    stated: Stated
    taken: tuple[str, ...] = ()

    def network(self) -> StyleGAN2:
        """The generator, once weights and words agree.

        Raises
        ------
        WeightsError
            It is of a kind that cannot be used, or the shapes are not what the file says.
        """
        _refuse_other_kinds(self.weights, self.stated)
        width = self.weights.get("synthesis.b4.conv1.affine.weight", torch.zeros(1, 0)).shape[-1]
        weights = {"mapping.w_avg": torch.zeros(width), **_without_noise(self.weights), **self.weights}
        stated = self.stated
        net = StyleGAN2.from_state_dict(weights, stated.conv_clamp, stated.activation, stated.mapping_activation)
        _compare(net, self.stated)
        return net


def _without_noise(weights: dict[str, Tensor]) -> dict[str, Tensor]:
    """Noise of no strength, for a network that was made without any."""
    if any(".noise_" in k for k in weights):
        return {}
    found: dict[str, Tensor] = {}
    for k in weights:
        if match := _CONVOLUTION.fullmatch(k):
            side = int(match[2])
            found |= {
                f"{match[1]}.noise_strength": torch.zeros(()),
                f"{match[1]}.noise_const": torch.zeros(()).expand(side, side),
            }
    return found


def _refuse_other_kinds(weights: dict[str, Tensor], stated: Stated) -> None:
    refuse_stylegan3(weights)
    if stated.classes or any(k.startswith("mapping.embed.") for k in weights):
        raise WeightsError("this network is class-conditional; only unconditional generators can be imported")
    sides = [k for k in weights if k.endswith(".const") or k.endswith(".noise_const")]
    for k in sides:
        shape = weights[k].shape
        if len(shape) < 2 or shape[-1] != shape[-2]:
            raise WeightsError("this network draws images that are not square; only square ones can be imported")
    blocks = {k.split(".")[1] for k in weights if k.startswith("synthesis.b")}
    skips = any(k.endswith(".skip.weight") for k in weights)
    pictures = sum(k.endswith(".torgb.weight") for k in weights)
    if stated.architecture not in (None, "skip", "resnet") or (len(blocks) > 1 and pictures == 1 and not skips):
        kind = stated.architecture if stated.architecture not in (None, "skip", "resnet") else "orig"
        raise WeightsError(
            f"this network has the architecture {shown(kind)!r}; only 'skip' and 'resnet' can be imported"
        )


def refuse_stylegan3(names: Iterable[str]) -> None:
    """Look at the names of the tensors.

    Raises
    ------
    WeightsError
        They are those of StyleGAN3.
    """
    if any(k.startswith(("synthesis.input.", "synthesis.L0_")) for k in names):
        raise WeightsError("this is a StyleGAN3 network; only StyleGAN2 generators can be imported")


def shown(text: str, most: int = 20) -> str:
    """What a file says, fit for a sentence."""
    return "".join(c if c.isprintable() else "?" for c in text[:most])


def without_axes(tensor: Tensor, name: str, axes: int) -> Tensor:
    """The tensor without its leading axes of length one.

    Raises
    ------
    WeightsError
        They are of another length.
    """
    if tensor.ndim <= axes or any(n != 1 for n in tensor.shape[:axes]):
        raise WeightsError(f"the shape of {name} is not that of a StyleGAN2 generator")
    return tensor.reshape(tensor.shape[axes:])


def noise_map_name(index: int) -> str:
    """Our name of the noise map that published files give this number."""
    return f"synthesis.b{2 ** ((index + 5) // 2)}.conv{1 - index % 2}.noise_const"


def _compare(net: StyleGAN2, stated: Stated) -> None:
    synthesis, mapping = net.synthesis, net.mapping
    found = {
        "resolution": net.resolution, "channels": synthesis.channels, "z_dim": mapping.z_dim, "w_dim": synthesis.w_dim,
        "mapping_layers": mapping.num_layers, "features": mapping.features if mapping.num_layers > 1 else None,
        "architecture": synthesis.architecture,
    }  # fmt: skip
    for name, value in found.items():
        said = getattr(stated, name)
        if said is not None and value not in (None, said):
            raise WeightsError(f"the file says {name} {shown(str(said))}, but its weights have {value}; it is damaged")
    if synthesis.channels not in (1, 3):
        raise WeightsError(f"this network draws {synthesis.channels} channels; gray and RGB ones can be imported")
    if synthesis.resolutions[0] != 4:
        raise WeightsError(f"this network starts at {synthesis.resolutions[0]} pixels; StyleGAN2 generators start at 4")
    if stated.channel_base is None or stated.channel_max is None:
        return
    for r in synthesis.resolutions:
        width = len(getattr(synthesis, f"b{r}").conv1.bias)
        if width != min(stated.channel_base // r, stated.channel_max):
            raise WeightsError(f"the file says other channel counts than its weights have at {r} pixels; it is damaged")


def size_of(value: Any, name: str) -> int | None:
    """A size that the file states, or None.

    Raises
    ------
    WeightsError
        It is neither a whole number nor absent.
    """
    if value is None:
        return None
    if type(value) is not int or not 0 <= value < 2**31:
        raise WeightsError(f"what the file says of {name} is not a size; it is damaged or of another kind")
    return value


def clamp_of(value: Any) -> float | None:
    """The bound of the activations that the file states, or None.

    Raises
    ------
    WeightsError
        It is not a positive number.
    """
    if value is None:
        return None
    if type(value) not in (int, float) or not (math.isfinite(value) and 0 < value < 1e30):
        raise WeightsError("what the file says of conv_clamp is not a positive number; it is damaged")
    return float(value)


def activation_of(value: Any) -> Activation:
    """The activation that the file names; leaky ReLU if it names none.

    Raises
    ------
    WeightsError
        It is one that is not supported.
    """
    for known in _ACTIVATIONS:
        if value is None or (isinstance(value, str) and value == known):
            return known
    raise WeightsError("this network uses an activation other than lrelu or lsoftplus; it cannot be imported")
