"""Layout (a): the generator of StyleGAN2-ADA for PyTorch and its successors, as pickled modules or as a state dict.

Modules keep what the network was called with and what its layers do (clamp, activation). A state dict holds tensors
only: what it leaves open is read from beside it (``conv_clamp``, ``init_kwargs``), or taken as the public code has it,
and said.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from napari_brgm.errors import WeightsError
from napari_brgm.zoo.inert_pickle import fields
from napari_brgm.zoo.numpy_values import plain
from napari_brgm.zoo.published import (
    USUAL_CLAMP,
    PublishedNetwork,
    Stated,
    activation_of,
    clamp_of,
    refuse_stylegan3,
    size_of,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from torch import Tensor

    from napari_brgm.zoo.module_tree import States

__all__ = ["read_pytorch"]

_LR: Final = 0.01  # of the mapping
_UNSAID: Final = object()
_CLAMP_TAKEN: Final = (
    f"The file does not say whether activations are clamped (conv_clamp); +-{USUAL_CLAMP:g} was taken, with which the "
    "public code trains by default. To say it, put 'conv_clamp' (a number, or None) beside 'G_ema' in the saved dict."
)
_CONSTANTS_TAKEN: Final = (
    "Tensors alone do not tell the activation and the learning-rate multiplier of the mapping network; leaky ReLU and "
    "0.01 were taken, as in the public code."
)


def read_pytorch(
    held: Mapping[str, Any], decode: Callable[[Any, str], Tensor], states: States | None, beside: Mapping[Any, Any]
) -> PublishedNetwork:
    """Generator of stand-ins of tensors, under their published names.

    Parameters
    ----------
    held : mapping
    decode : callable
        Tensor of a stand-in and its name.
    states : dict or None
        Attributes of its modules by path, where they were pickled.
    beside : mapping
        What else the file holds.

    Raises
    ------
    WeightsError
        It is not a StyleGAN2 generator.
    """
    refuse_stylegan3(held)  # before it is decoded
    weights = {name: decode(tensor, name) for name, tensor in held.items()}
    if states is not None:
        stated = _stated(states)
        return PublishedNetwork("PyTorch pickle", weights, stated, (_CLAMP_TAKEN,) if stated.clamp_assumed else ())
    called = fields(beside.get("init_kwargs"))
    if "conv_clamp" in beside:
        called = called | {"conv_clamp": beside["conv_clamp"]}
    stated = _stated({"": {"_init_kwargs": called}})
    taken = (_CLAMP_TAKEN,) if stated.clamp_assumed else ()
    return PublishedNetwork(
        "PyTorch state dict", weights, stated, (*taken, *((_CONSTANTS_TAKEN,) if not called else ()))
    )


def _stated(states: States) -> Stated:
    """Settings: as the generator was called, nested or flat, and as its layers keep them."""
    called = fields(states[""].get("_init_kwargs"))
    mapping = {**fields(called.get("mapping_kwargs")), **_called(states, "mapping.")}
    synthesis = {**called, **fields(called.get("synthesis_kwargs")), **_called(states, "synthesis.")}
    blocks = [state for path, state in states.items() if path.startswith("synthesis.b") and path.count(".") == 2]
    convolutions = [state for path, state in states.items() if path.endswith((".conv0.", ".conv1."))]
    pictures = [state for path, state in states.items() if path.endswith(".torgb.")]
    dense = [state for path, state in states.items() if path.startswith("mapping.fc")]
    rates = {plain(state["bias_gain"]) for state in dense if isinstance(plain(state.get("bias_gain")), float)}
    if plain(mapping.get("lr_multiplier", _LR)) != _LR or any(rate != _LR for rate in rates):
        raise WeightsError("the mapping of this network has another lr_multiplier than 0.01; it cannot be imported")

    def size(table: dict[Any, Any], name: str) -> int | None:
        return size_of(plain(table.get(name)), name)

    architecture = _kept("architecture", blocks, synthesis)
    clamp = _kept("conv_clamp", [*convolutions, *pictures], synthesis)
    return Stated(
        resolution=size(called, "img_resolution"),
        channels=size(called, "img_channels"),
        z_dim=size(called, "z_dim"),
        w_dim=size(called, "w_dim"),
        mapping_layers=size(mapping, "num_layers"),
        features=size(mapping, "layer_features"),
        channel_base=size(synthesis, "channel_base"),
        channel_max=size(synthesis, "channel_max"),
        classes=size(called, "c_dim") or 0,
        architecture=architecture if isinstance(architecture, str) else None,
        conv_clamp=USUAL_CLAMP if clamp is _UNSAID else clamp_of(clamp),
        clamp_assumed=clamp is _UNSAID,
        activation=activation_of(_said(_kept("activation", convolutions, synthesis))),
        mapping_activation=activation_of(_said(_kept("activation", dense, mapping))),
    )


def _kept(name: str, layers: list[dict[Any, Any]], called: dict[Any, Any]) -> Any:
    """What the layers themselves hold, which includes defaults of the code; else what the network was called with."""
    values = [plain(state[name]) for state in layers if name in state]
    held = {value for value in values if isinstance(value, str | int | float | None)}
    if len(held) > 1:
        raise WeightsError(f"the layers of this network differ in {name}; such networks cannot be imported")
    return held.pop() if held else plain(called.get(name, _UNSAID))


def _said(value: Any) -> Any:
    return None if value is _UNSAID else value


def _called(states: States, path: str) -> dict[Any, Any]:
    return fields(states.get(path, {}).get("_init_kwargs"))
