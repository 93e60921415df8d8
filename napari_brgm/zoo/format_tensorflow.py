"""Layout (b): a pickled tuple (G, D, Gs) of networks, or Gs alone, as StyleGAN2 for TensorFlow wrote it in 2020.

A network's state holds source text, which the stock loader executes and which is not looked at here, and a list of
(name, array). Against our names: dense and style weights are transposed, kernels are stored (H, W, in, out), those of
up-sampling convolutions flipped, and the style biases lack the 1 that is added at run time.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Final

from napari_brgm.errors import WeightsError
from napari_brgm.zoo.inert_names import NETWORK
from napari_brgm.zoo.inert_pickle import Call, fields
from napari_brgm.zoo.numpy_values import array, plain
from napari_brgm.zoo.published import (
    PublishedNetwork,
    Stated,
    activation_of,
    clamp_of,
    noise_map_name,
    shown,
    size_of,
    without_axes,
)

if TYPE_CHECKING:
    from torch import Tensor

__all__ = ["read_tensorflow"]

_MOST_VARIABLES: Final = 1_000  # a 1024 px generator has about 150
_SCOPES: Final = ("Gs/", "G/", "G_mapping/", "G_synthesis/")
_NOT_OURS: Final = ("lod",)  # blends resolutions while a net grows; constant in StyleGAN2
_DENSE = re.compile(r"Dense(\d{1,2})/(weight|bias)")
_NOISE = re.compile(r"noise(\d{1,2})")
_LAYER = re.compile(r"(\d{1,4})x(\d{1,4})/(Const|Conv|Conv0_up|Conv1|ToRGB|Skip)/(\w{1,20})")
_STYLEGAN1 = re.compile(r"/StyleMod/|ToRGB_lod|/const_|LayerEpilogue|^G_style$")
_MODULES: Final = {"Conv": "conv1", "Conv0_up": "conv0", "Conv1": "conv1", "ToRGB": "torgb", "Skip": "skip"}
_PARTS: Final = {
    "weight": "weight", "bias": "bias", "noise_strength": "noise_strength", "mod_weight": "affine.weight",
    "mod_bias": "affine.bias",
}  # fmt: skip


def read_tensorflow(value: Any, size: int) -> PublishedNetwork:
    """Averaged generator (the third network, or the only one) of an unpickled file of ``size`` bytes.

    Raises
    ------
    WeightsError
        There is none, or it is not a StyleGAN2 generator.
    """
    if isinstance(value, tuple) and len(value) != 3:
        raise WeightsError(
            "the file does not hold the three networks (G, D, Gs) of a published StyleGAN2; pickle these, or Gs alone"
        )
    networks = [_state(value[2] if isinstance(value, tuple) else value)]
    networks += [_state(part) for part in list(fields(networks[0].get("components")).values())[:8]]
    variables = _variables(networks)
    if any(_STYLEGAN1.search(name) for name in [*variables, *map(_built_by, networks)]):
        raise WeightsError("this is a StyleGAN1 network; only StyleGAN2 generators can be imported")
    if any(name.startswith("LabelConcat/") for name in variables):
        raise WeightsError("this network is class-conditional; only unconditional generators can be imported")
    weights: dict[str, Tensor] = {}
    left = 4 * size  # one array may be named again and again
    for name, stored in variables.items():
        tensor = array(stored, name)
        left -= 4 * tensor.numel()
        if left < 0:
            raise WeightsError("the arrays of the file claim more numbers than the file has")
        weights.update(_renamed(name, tensor))
    settings: dict[Any, Any] = {}
    for network in reversed(networks):
        settings |= fields(network.get("static_kwargs"))
    return PublishedNetwork("TensorFlow pickle", weights, _stated({k: plain(v) for k, v in settings.items()}))


def _state(network: Any) -> dict[Any, Any]:
    if isinstance(network, Call) and network.name == NETWORK and isinstance(network.state, dict):
        return network.state
    raise WeightsError("the file holds a network of a layout that is not known")


def _built_by(network: dict[Any, Any]) -> str:
    name = network.get("build_func_name")
    return name if isinstance(name, str) else ""


def _variables(networks: list[dict[Any, Any]]) -> dict[str, Any]:
    """Arrays by name, without the scope that some files put before it."""
    found: dict[str, Any] = {}
    for network in networks:
        listed = network.get("variables")
        for pair in listed[:_MOST_VARIABLES] if isinstance(listed, list | tuple) else []:
            if not isinstance(pair, list | tuple) or len(pair) != 2 or not isinstance(pair[0], str):
                raise WeightsError("the list of variables in the file is malformed; it is damaged")
            name = pair[0][:100]
            for scope in _SCOPES:
                name = name.removeprefix(scope)
            if name not in _NOT_OURS:
                found[name] = pair[1]
    return found


def _renamed(name: str, tensor: Tensor) -> dict[str, Tensor]:
    """Our name and layout of a variable."""
    if name == "dlatent_avg":
        return {"mapping.w_avg": tensor}
    if match := _DENSE.fullmatch(name):
        turned = tensor.T.contiguous() if match[2] == "weight" and tensor.ndim == 2 else tensor
        return {f"mapping.fc{match[1]}.{match[2]}": turned}
    if match := _NOISE.fullmatch(name):
        return {noise_map_name(int(match[1])): without_axes(tensor, name, 2)}
    match = _LAYER.fullmatch(name)
    if match is None or (match[3] != "Const" and match[4] not in _PARTS):
        raise WeightsError(f"the file holds a variable {shown(name, 40)!r} that is in no StyleGAN2 generator")
    if match[1] != match[2]:
        raise WeightsError("this network draws images that are not square; only square ones can be imported")
    block = f"synthesis.b{match[1]}"
    if match[3] == "Const":
        return {f"{block}.const": without_axes(tensor, name, 1)}
    part = _PARTS[match[4]]
    if part == "weight":
        tensor = _kernel(tensor, name, flipped=match[3] in ("Conv0_up", "Skip"))
    elif part == "affine.weight" and tensor.ndim == 2:
        tensor = tensor.T.contiguous()
    elif part == "affine.bias":
        tensor = tensor + 1
    return {f"{block}.{_MODULES[match[3]]}.{part}": tensor}


def _kernel(tensor: Tensor, name: str, flipped: bool) -> Tensor:
    """(H, W, in, out) -> (out, in, H, W)."""
    if tensor.ndim != 4:
        raise WeightsError(f"{name} is not a convolution kernel; the file is damaged")
    return (tensor.flip(0, 1) if flipped else tensor).permute(3, 2, 0, 1).contiguous()


def _stated(settings: dict[Any, Any]) -> Stated:
    if settings.get("mapping_lrmul", 0.01) != 0.01:
        raise WeightsError("the mapping of this network has another mapping_lrmul than 0.01; it cannot be imported")
    if settings.get("normalize_latents", True) is not True:
        raise WeightsError("this network does not normalise its latents; it cannot be imported")
    kernel = settings.get("resample_kernel")
    taps = [plain(v) for v in kernel] if isinstance(kernel, list | tuple) and len(kernel) == 4 else kernel
    if taps is not None and not (
        isinstance(taps, list) and all(v == w for v, w in zip(taps, (1, 3, 3, 1), strict=True))
    ):
        raise WeightsError("this network resamples with another filter than [1, 3, 3, 1]; it cannot be imported")
    base = size_of(settings.get("fmap_base"), "fmap_base")
    architecture = settings.get("architecture")
    return Stated(
        resolution=size_of(settings.get("resolution"), "resolution"),
        channels=size_of(settings.get("num_channels"), "num_channels"),
        z_dim=size_of(settings.get("latent_size"), "latent_size"),
        w_dim=size_of(settings.get("dlatent_size"), "dlatent_size"),
        mapping_layers=size_of(settings.get("mapping_layers"), "mapping_layers"),
        features=size_of(settings.get("mapping_fmaps"), "mapping_fmaps"),
        channel_base=None if base is None else 2 * base,
        channel_max=size_of(settings.get("fmap_max"), "fmap_max"),
        classes=size_of(settings.get("label_size"), "label_size") or 0,
        architecture=architecture if isinstance(architecture, str) else None,
        conv_clamp=clamp_of(settings.get("conv_clamp")),
        activation=activation_of(settings.get("nonlinearity")),
        mapping_activation=activation_of(settings.get("mapping_nonlinearity")),
    )
