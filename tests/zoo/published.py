"""Writes generators in the layouts of published files, without any of the code that wrote those.

Stand-ins of the classes that published pickles name are registered only while a file is made. The layouts are inverted
here by hand, element order spelled out, so that a mistake in the readers is not repeated.
"""

from __future__ import annotations

import argparse
import io
import pickle
import sys
import types
import warnings
from collections import OrderedDict
from contextlib import contextmanager

import numpy as np
import torch

Weights = dict[str, torch.Tensor]


class _EasyDict(dict):
    pass


class _Persistent:
    """Pickles as a call of _reconstruct_persistent_obj(meta)."""

    def __init__(self, meta: dict) -> None:
        self.meta = meta

    def __reduce__(self):
        return _reconstruct, (self.meta,)


def _reconstruct(meta):
    raise AssertionError("the stock loader would execute source text here")


class _Network:
    def __init__(self, state: dict) -> None:
        self.state = state

    def __getstate__(self):
        return self.state

    def __setstate__(self, state):
        raise AssertionError("the stock loader would execute source text here")


_NAMED = {
    "torch_utils.persistence": {"_reconstruct_persistent_obj": _reconstruct},
    "dnnlib.util": {"EasyDict": _EasyDict},
    "dnnlib.tflib.network": {"Network": _Network},
}


@contextmanager
def stand_ins():
    """The names of published pickles, importable for as long as one is written."""
    made = {}
    for module, members in _NAMED.items():
        parts = module.split(".")
        for i in range(1, len(parts) + 1):
            made.setdefault(".".join(parts[:i]), types.ModuleType(".".join(parts[:i])))
        for name, member in members.items():
            member.__module__, member.__qualname__, member.__name__ = module, name, name
            setattr(made[module], name, member)
    assert not made.keys() & sys.modules.keys()
    sys.modules.update(made)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # torch on its own older storages
            yield
    finally:
        for name in made:
            del sys.modules[name]


def random_weights(
    resolution: int = 8, width: int = 2, z: int = 2, w: int = 2, channels: int = 1, layers: int = 2,
    features: int | None = None,
) -> Weights:  # fmt: skip
    """A generator small enough that most bytes of its file are structure."""
    draw = torch.Generator().manual_seed(0)

    def normal(*shape: int) -> torch.Tensor:
        return torch.randn(shape, generator=draw)

    out: Weights = {"mapping.w_avg": normal(w)}
    inner = w if features is None else features
    sizes = [z] + [inner] * (layers - 1) + [w]
    for i in range(layers):
        out |= {
            f"mapping.fc{i}.weight": 100 * normal(sizes[i + 1], sizes[i]), f"mapping.fc{i}.bias": normal(sizes[i + 1])
        }  # fmt: skip
    r = 4
    while r <= resolution:
        b = f"synthesis.b{r}"
        if r == 4:
            out[f"{b}.const"] = normal(width, 4, 4)
        for conv in ("conv1",) if r == 4 else ("conv0", "conv1"):
            out |= {
                f"{b}.{conv}.weight": normal(width, width, 3, 3), f"{b}.{conv}.bias": normal(width),
                f"{b}.{conv}.noise_strength": 0.1 * normal(), f"{b}.{conv}.noise_const": normal(r, r),
                f"{b}.{conv}.affine.weight": normal(width, w), f"{b}.{conv}.affine.bias": 1 + normal(width),
            }  # fmt: skip
        out |= {
            f"{b}.torgb.weight": normal(channels, width, 1, 1), f"{b}.torgb.bias": normal(channels),
            f"{b}.torgb.affine.weight": normal(width, w), f"{b}.torgb.affine.bias": 1 + normal(width),
        }  # fmt: skip
        r *= 2
    return out


def described(weights: Weights, **changes) -> dict:
    """Settings of a net, in the words of the PyTorch files."""
    blocks = sorted({int(k.split(".")[1][1:]) for k in weights if k.startswith("synthesis.b")})
    wide = {r: len(weights[f"synthesis.b{r}.conv1.bias"]) for r in blocks}
    return {
        "z_dim": weights["mapping.fc0.weight"].shape[1], "c_dim": 0,
        "w_dim": weights["synthesis.b4.conv1.affine.weight"].shape[1],
        "img_resolution": blocks[-1], "img_channels": len(weights[f"synthesis.b{blocks[-1]}.torgb.bias"]),
        "num_layers": sum(k.startswith("mapping.fc") and k.endswith("weight") for k in weights),
        "channel_base": blocks[-1] * wide[blocks[-1]], "channel_max": wide[blocks[0]],
        "architecture": "skip" if "synthesis.b4.torgb.weight" in weights else "resnet", "conv_clamp": None,
    } | changes  # fmt: skip


def _module(weights: Weights, prefix: str, attributes: dict[str, dict], name: str = "Module") -> _Persistent:
    """Tree of persistent modules that holds the weights below ``prefix``."""
    own = {k[len(prefix) :]: v for k, v in weights.items() if k.startswith(prefix)}
    inner = sorted({k.split(".")[0] for k in own if "." in k})
    plain = {k: v for k, v in own.items() if "." not in k}
    buffers = {k: v for k, v in plain.items() if k in ("noise_const", "resample_filter", "w_avg")}
    state = {
        "training": False,
        "_parameters": OrderedDict((k, torch.nn.Parameter(v)) for k, v in plain.items() if k not in buffers),
        "_buffers": OrderedDict(buffers),
        "_non_persistent_buffers_set": set(),
        "_backward_hooks": OrderedDict(),
        "_modules": OrderedDict((k, _module(weights, f"{prefix}{k}.", attributes, k)) for k in inner),
        "_init_args": (),
        "_init_kwargs": _EasyDict(),
        "act_gain": np.sqrt(np.float64(2)),
    } | attributes.get(prefix, {})
    meta = {
        "type": "class", "version": 6, "module_src": "raise SystemExit('source text was executed')\n",
        "class_name": name, "state": state,
    }  # fmt: skip
    return _Persistent(meta)


def pytorch_pickle(
    weights: Weights, *, flat: bool = False, protocol: int = 4, layers: dict | None = None, top=None,
    dumps=pickle.dumps, pictures: dict | None = None, dense: dict | None = None, **changes,
) -> bytes:  # fmt: skip
    """Layout (a); ``flat`` as newer files hold their settings; ``layers`` are attributes of every convolution.

    ``pictures`` are those of every torgb, ``dense`` of the mapping's layers; ``dumps`` writes the object.
    """
    said = described(weights, **changes)
    mapping = _EasyDict(num_layers=said.pop("num_layers"))
    synthesis = _EasyDict({k: said.pop(k) for k in ("channel_base", "channel_max", "architecture", "conv_clamp")})
    called = (
        _EasyDict(said, **synthesis, mapping_kwargs=mapping)
        if flat
        else _EasyDict(said, mapping_kwargs=mapping, synthesis_kwargs=synthesis)
    )
    attributes = {"": {"_init_kwargs": called}}
    for k in weights:
        if k.split(".")[-2].startswith("conv"):
            attributes[k.rsplit(".", 1)[0] + "."] = dict(layers or {})
        if k.split(".")[-2] == "torgb":
            attributes[k.rsplit(".", 1)[0] + "."] = dict(pictures or {})
        if k.startswith("mapping.fc"):
            attributes[k.rsplit(".", 1)[0] + "."] = dict(dense or {})
        if k.endswith("affine.weight"):
            attributes[k.removesuffix("weight")] = {"activation": "linear"}
    with stand_ins():
        other = {k: v + 1 for k, v in weights.items()}
        content = {
            "G": _module(other, "", attributes), "D": _module(other, "", attributes),
            "G_ema": _module(weights, "", attributes), "augment_pipe": None,
            "training_set_kwargs": _EasyDict(class_name="training.dataset.ImageFolderDataset", max_size=10),
        }  # fmt: skip
        return dumps(content if top is None else top(content), protocol)


def saved(value, protocol: int = 2, *, zipped: bool = True) -> bytes:
    """What torch.save writes of a value."""
    file = io.BytesIO()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.save(value, file, pickle_protocol=protocol, _use_new_zipfile_serialization=zipped)
    return file.getvalue()


def saved_older(value, protocol: int = 2) -> bytes:
    """What torch.save wrote before version 1.6."""
    return saved(value, protocol, zipped=False)


def rosinality_module(weights: Weights, dumps=saved, protocol: int = 2, *, wrapped: bool = False) -> bytes:
    """Rosinality's generator pickled as a whole: classes by their names, no source."""
    names = {"model": ("Generator", "StyledConv"), "op.fused_act": ("FusedLeakyReLU",)}
    kinds = {n: type(n, (torch.nn.Module,), {"__module__": m}) for m, some in names.items() for n in some}
    net = kinds["Generator"]()
    for name, tensor in rosinality_state(weights).items():
        place, parts = net, name.split(".")
        for part in parts[:-1]:
            if part not in place._modules:
                kind = "FusedLeakyReLU" if part == "activate" else "StyledConv"
                place.add_module(part, torch.nn.ModuleList() if part in ("convs", "style") else kinds[kind]())
            place = place._modules[part]
        if "noise_" in parts[-1] or parts[-1] == "kernel":
            place.register_buffer(parts[-1], tensor)
        else:
            place.register_parameter(parts[-1], torch.nn.Parameter(tensor))
    net.channels = {4: 512, 8: 512}
    made = {m: types.ModuleType(m) for m in ("model", "op", "op.fused_act")}
    for n, kind in kinds.items():
        setattr(made[kind.__module__], n, kind)
    assert not made.keys() & sys.modules.keys()
    sys.modules.update(made)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return dumps(torch.nn.DataParallel(net) if wrapped else net, protocol)
    finally:
        for name in made:
            del sys.modules[name]


def tensorflow_variables(weights: Weights) -> dict[str, list[tuple[str, np.ndarray]]]:
    """Variables of the mapping, the synthesis and the whole network."""
    mapping, synthesis, own = [], [], [("lod", np.float32(0))]
    for name, tensor in weights.items():
        v = tensor.numpy()
        part = name.split(".")
        if name.endswith("resample_filter"):
            continue
        if name == "mapping.w_avg":
            own.append(("dlatent_avg", v))
        elif part[0] == "mapping":
            mapping.append((f"Dense{part[1][2:]}/{part[2]}", v.T if part[2] == "weight" else v))
        elif part[2] == "const":
            synthesis.append(("4x4/Const/const", v[None]))
        elif part[3] == "noise_const":
            r, first = int(part[1][1:]), part[2] == "conv0"
            index = 0 if r == 4 else 2 * (r.bit_length() - 3) - (1 if first else 0)
            synthesis.append((f"noise{index}", v[None, None]))
        else:
            r = part[1][1:]
            layer = {"conv0": "Conv0_up", "conv1": "Conv" if r == "4" else "Conv1", "torgb": "ToRGB", "skip": "Skip"}
            variable = f"{r}x{r}/{layer[part[2]]}/"
            if part[3] == "affine":
                variable += f"mod_{part[4]}"
                v = v.T if part[4] == "weight" else v - 1
            else:
                variable += part[3]
            if part[3] == "weight":
                out_ch, in_ch, height, width = v.shape
                kernel = np.empty((height, width, in_ch, out_ch), np.float32)
                for y in range(height):
                    for x in range(width):
                        turned = part[2] in ("conv0", "skip")
                        kernel[y, x] = v[:, :, height - 1 - y if turned else y, width - 1 - x if turned else x].T
                v = kernel
            synthesis.append((variable, v))
    return {"mapping": mapping, "synthesis": synthesis, "Gs": own}


def tensorflow_pickle(
    weights: Weights, *, protocol: int = 4, scoped: bool = False, variables=None, top=None, **changes
) -> bytes:
    """Layout (b); ``scoped`` puts all variables into the one network, under the names of its parts."""
    said = described(weights)
    lists = variables or tensorflow_variables(weights)
    kwargs = {
        "resolution": said["img_resolution"], "num_channels": said["img_channels"], "latent_size": said["z_dim"],
        "dlatent_size": said["w_dim"], "mapping_layers": said["num_layers"], "fmap_base": said["channel_base"] // 2,
        "fmap_max": said["channel_max"], "architecture": said["architecture"], "label_size": 0,
        "resample_kernel": [1, 3, 3, 1], "randomize_noise": True,
    } | changes  # fmt: skip

    def network(name: str, own: list, components: dict) -> _Network:
        return _Network({
            "version": 4, "name": name, "static_kwargs": _EasyDict(kwargs), "components": _EasyDict(components),
            "build_module_src": "raise SystemExit('source text was executed')\n", "build_func_name": f"{name}_main",
            "variables": own,
        })  # fmt: skip

    with stand_ins():
        if scoped:
            own = lists["Gs"] + [(f"G_{p}/{n}", v) for p in ("mapping", "synthesis") for n, v in lists[p]]
            generator = network("Gs", own, {})
        else:
            parts = {p: network(f"G_{p}", lists[p], {}) for p in ("mapping", "synthesis")}
            generator = network("Gs", lists["Gs"], parts)
        content = (network("G", [], {}), network("D", [], {}), generator)
        return pickle.dumps(content if top is None else top(content), protocol)


def rosinality_state(weights: Weights) -> OrderedDict:
    """The same generator under rosinality's names."""
    out = OrderedDict()
    taps = torch.tensor([1.0, 3.0, 3.0, 1.0])
    blur = torch.outer(taps, taps) / taps.sum() ** 2 * 4
    for name, v in weights.items():
        part = name.split(".")
        if name == "mapping.w_avg" or name.endswith("resample_filter"):
            continue
        if part[0] == "mapping":
            out[f"style.{int(part[1][2:]) + 1}.{part[2]}"] = v
            continue
        level = int(part[1][1:]).bit_length() - 3  # 0 at 4 pixels
        if part[2] == "const":
            out["input.input"] = v[None]
        elif part[2] == "torgb":
            layer = "to_rgb1" if level == 0 else f"to_rgbs.{level - 1}"
            if level:
                out[f"{layer}.upsample.kernel"] = blur
            if part[3] == "affine":
                out[f"{layer}.conv.modulation.{part[4]}"] = v
            else:
                out[f"{layer}.conv.weight" if part[3] == "weight" else f"{layer}.bias"] = (
                    v[None] if part[3] == "weight" else v[None, :, None, None]
                )
        else:
            number = 0 if level == 0 else 2 * level - 1 + (part[2] == "conv1")
            layer = "conv1" if level == 0 else f"convs.{number - 1}"
            if part[2] == "conv0":
                out[f"{layer}.conv.blur.kernel"] = blur
            if part[3] == "noise_const":
                out[f"noises.noise_{number}"] = v[None, None]
            elif part[3] == "noise_strength":
                out[f"{layer}.noise.weight"] = v.reshape(1)
            elif part[3] == "affine":
                out[f"{layer}.conv.modulation.{part[4]}"] = v
            else:
                out[f"{layer}.conv.weight" if part[3] == "weight" else f"{layer}.activate.bias"] = (
                    v[None] if part[3] == "weight" else v
                )
    return out


def rosinality_pt(weights: Weights, *, zipped: bool = True, average: bool = True, state=None, **args) -> bytes:
    """Layout (c), in today's or in the older container."""
    said = described(weights)
    content = {"g_ema": rosinality_state(weights) if state is None else state}
    if state is None:
        content["g"] = {k: v + 1 for k, v in content["g_ema"].items()}
    content["g_optim"] = {"state": {0: {"step": 3, "exp_avg": torch.zeros(4)}}, "param_groups": [{"lr": 2e-3}]}
    if average:
        content["latent_avg"] = weights["mapping.w_avg"]
    content["args"] = argparse.Namespace(
        **({"size": said["img_resolution"], "latent": said["w_dim"], "n_mlp": said["num_layers"]} | args)
    )
    file = io.BytesIO()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.save(content, file, _use_new_zipfile_serialization=zipped)
    return file.getvalue()
