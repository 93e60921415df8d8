"""Layout (a): a pickled dict of modules, as StyleGAN2-ADA for PyTorch and its successors write it.

Every module is a call of ``torch_utils.persistence._reconstruct_persistent_obj(meta)``; ``meta`` holds source text,
which the stock loader executes and which is not looked at here, and the module's attributes: its parameters, buffers
and sub-modules, from which the state dict is walked together.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from napari_brgm.errors import WeightsError
from napari_brgm.zoo.inert_pickle import Call, fields
from napari_brgm.zoo.numpy_values import plain
from napari_brgm.zoo.published import PublishedNetwork, Stated, activation_of, clamp_of, refuse_stylegan3, size_of

if TYPE_CHECKING:
    from torch import Tensor

    from napari_brgm.zoo.torch_storage import TensorDecoder

__all__ = ["PYTORCH_NAMES", "read_pytorch"]

PYTORCH_NAMES: Final = frozenset({
    "torch.storage._load_from_bytes", "torch._utils._rebuild_tensor_v2", "torch._utils._rebuild_parameter",
    "torch_utils.persistence._reconstruct_persistent_obj", "dnnlib.util.EasyDict", "collections.OrderedDict",
    "builtins.set",
})  # fmt: skip
_RECONSTRUCT: Final = "torch_utils.persistence._reconstruct_persistent_obj"
_MOST_MODULES: Final = 500  # a 1024 px generator has about 70
_DEEPEST: Final = 8


def read_pytorch(value: Any, decoder: TensorDecoder) -> PublishedNetwork:
    """Averaged generator (``G_ema``) of an unpickled file.

    Raises
    ------
    WeightsError
        There is none, or it is not a StyleGAN2 generator.
    """
    generator = fields(value).get("G_ema")
    if generator is None:
        raise WeightsError("the file holds no averaged generator (G_ema); it is not a published StyleGAN2 network")
    modules = _walk(generator)
    refuse_stylegan3(f"{path}{name}" for path, state in modules for name in _tensors(state))  # before it is decoded
    weights: dict[str, Tensor] = {}
    for path, state in modules:
        for name, tensor in _tensors(state).items():
            weights[f"{path}{name}"] = decoder.decode(tensor, f"{path}{name}")
    return PublishedNetwork("PyTorch pickle", weights, _stated(modules))


def _state(module: Any) -> dict[Any, Any]:
    if isinstance(module, Call) and module.name == _RECONSTRUCT and len(module.args) == 1:
        state = fields(fields(module.args[0]).get("state"))
        if state:
            return state
    raise WeightsError("the file holds a module of a layout that is not known")


def _walk(generator: Any) -> list[tuple[str, dict[Any, Any]]]:
    """Path ('synthesis.b4.') and attributes of every module; a module that holds itself ends in a refusal."""
    found: list[tuple[str, dict[Any, Any]]] = []
    waiting = [("", generator)]
    while waiting:
        path, module = waiting.pop()
        state = _state(module)
        found.append((path, state))
        for name, inner in fields(state.get("_modules")).items():
            if inner is not None:
                waiting.append((f"{path}{_name(name)}.", inner))
        if len(found) + len(waiting) > _MOST_MODULES or path.count(".") > _DEEPEST:
            raise WeightsError("the file nests more modules than any published generator; it was refused")
    return found


def _tensors(state: dict[Any, Any]) -> dict[str, Any]:
    both = {**fields(state.get("_parameters")), **fields(state.get("_buffers"))}
    return {_name(k): v for k, v in both.items() if v is not None}


def _name(key: Any) -> str:
    if not isinstance(key, str) or (not key.isidentifier() and not key.isdecimal()) or len(key) > 40:
        raise WeightsError("the file holds modules or parameters with names that no published generator has")
    return key


def _stated(modules: list[tuple[str, dict[Any, Any]]]) -> Stated:
    """Settings: as the generator was called, nested or flat, and as its layers keep them."""
    states = dict(modules)
    called = fields(states[""].get("_init_kwargs"))
    mapping = {**fields(called.get("mapping_kwargs")), **_called(states, "mapping.")}
    synthesis = {**called, **fields(called.get("synthesis_kwargs")), **_called(states, "synthesis.")}
    blocks = [state for path, state in modules if path.startswith("synthesis.b") and path.count(".") == 2]
    convolutions = [state for path, state in modules if path.endswith((".conv0.", ".conv1."))]
    dense = [state for path, state in modules if path.startswith("mapping.fc")]
    if plain(mapping.get("lr_multiplier", 0.01)) != 0.01:
        raise WeightsError("the mapping of this network has another lr_multiplier than 0.01; it cannot be imported")

    def size(table: dict[Any, Any], name: str) -> int | None:
        return size_of(plain(table.get(name)), name)

    architecture = _kept("architecture", blocks, synthesis)
    return Stated(
        resolution=size(called, "img_resolution"),
        channels=size(called, "img_channels"),
        z_dim=size(called, "z_dim"),
        w_dim=size(called, "w_dim"),
        mapping_layers=size(mapping, "num_layers"),
        channel_base=size(synthesis, "channel_base"),
        channel_max=size(synthesis, "channel_max"),
        classes=size(called, "c_dim") or 0,
        architecture=architecture if isinstance(architecture, str) else None,
        conv_clamp=clamp_of(_kept("conv_clamp", convolutions, synthesis)),
        activation=activation_of(_kept("activation", convolutions, synthesis)),
        mapping_activation=activation_of(_kept("activation", dense, mapping)),
    )


def _kept(name: str, layers: list[dict[Any, Any]], called: dict[Any, Any]) -> Any:
    """What the layers themselves hold, which includes defaults of the code; else what the network was called with."""
    values = [plain(state[name]) for state in layers if name in state]
    held = {value for value in values if isinstance(value, str | int | float | None)}
    if len(held) > 1:
        raise WeightsError(f"the layers of this network differ in {name}; such networks cannot be imported")
    return held.pop() if held else plain(called.get(name))


def _called(states: dict[str, dict[Any, Any]], path: str) -> dict[Any, Any]:
    return fields(states.get(path, {}).get("_init_kwargs"))
