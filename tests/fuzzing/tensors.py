"""Tensor files: weights of both families, bare state dicts, and saved restorations."""

from __future__ import annotations

import json
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import safetensors.torch
import torch
from fuzzing.damage import FLOATS, NUMBERS, Files, Kind, Sample, damaged, often, packed_number
from zoo import published

from napari_brgm.engine.restoration import Restoration
from napari_brgm.priors.convolutional_manifold import ConvolutionalManifold
from napari_brgm.priors.hourglass import Hourglass
from napari_brgm.priors.latent_maps import ConvolutionalMap
from napari_brgm.priors.line import Line
from napari_brgm.priors.linear_model import LinearModel
from napari_brgm.priors.parts import Parts
from napari_brgm.priors.prior import LowRankStatistics, PriorInfo
from napari_brgm.priors.residual_field import ResidualField
from napari_brgm.priors.stylegan2 import StyleGAN2
from napari_brgm.priors.stylegan2_prior import StyleGAN2Prior
from napari_brgm.priors.through_plane import ThroughPlane
from napari_brgm.zoo.files import write_prior
from napari_brgm.zoo.install import import_file
from napari_brgm.zoo.registry import load_prior

if TYPE_CHECKING:
    from collections.abc import Sequence
    from random import Random

__all__ = ["TENSORS"]

_WEIGHTS, _RESULT = "weights.safetensors", "restoration.safetensors"
_ITEMS = {"F64": 8, "F32": 4, "F16": 2, "BF16": 2, "I64": 8, "U64": 8, "I32": 4, "I16": 2, "I8": 1, "U8": 1, "BOOL": 1}
_SPOILT = (b"\x00\x7c", b"\x00\xfe", b"\xff\x7b", b"\x00\x00\xc0\x7f", b"\x00\x00\x80\xff", b"\xff\xff\x7f\x7f", b"\0")
_VALUES = (None, True, -1, "", "x", [], {}, [[]], 1.5, 1e308, -0.0, "\ud800", "\x1b[31m", "nan", [0] * 40, {"a": {}})


def _samples() -> list[Sample]:
    draw = torch.Generator().manual_seed(0)
    info = PriorInfo("tiny", "MR", "axial", spacing_mm=1.5, representation_sigma=5.0)
    net = StyleGAN2.from_state_dict(published.random_weights(8, layers=1))
    style = StyleGAN2Prior.of_network(net, info)
    field = ResidualField(torch.rand(8, 8, generator=draw) + 4, torch.rand(14, 14, generator=draw))
    line = LinearModel(torch.zeros(1, 8, 8), torch.rand(2, 1, 8, 8, generator=draw), 0.1)
    full = StyleGAN2Prior(
        style.synthesis, style.latents, info, mapping=style.mapping, base=line,
        parts=Parts(Line(line, exact=False), field, through=ThroughPlane(torch.eye(33)[:2], torch.eye(33)[:12])),
    )  # fmt: skip
    drawn = ConvolutionalMap()
    phi = drawn.project(drawn.start(draw) + 0.004 * torch.randn(4, drawn.size, generator=draw))
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(6)
        hourglass = Hourglass(outs=1, trunk=(6, 8), fine=(4,), skip=2)
    manifold = ConvolutionalManifold(drawn, hourglass.eval(), LowRankStatistics.of(phi, 2), info)
    found = []
    with tempfile.TemporaryDirectory() as place:
        path = Path(place) / "file"
        for name, prior in (("stylegan2", style), ("stylegan2-parts", full), ("manifold", manifold)):
            write_prior(prior, path, torch.float32 if name == "stylegan2" else torch.float16)
            found.append(Sample(name, {_WEIGHTS: path.read_bytes()}, _WEIGHTS))
        for name, result in _results().items():
            result.save(path)
            found.append(Sample(name, {_RESULT: path.read_bytes()}, _RESULT))
    bare = published.random_weights(4, layers=1)
    card = {_WEIGHTS: found[0].files[_WEIGHTS], "weights.md": b"# Title\n<script>x</script>\n"}
    return [*found, Sample("bare", {_WEIGHTS: safetensors.torch.save(bare, {"conv_clamp": "256"})}, _WEIGHTS),
            Sample("bare-unsaid", {_WEIGHTS: safetensors.torch.save(bare)}, _WEIGHTS),
            Sample("card", card, _WEIGHTS)]  # fmt: skip


def _results() -> dict[str, Restoration]:
    rng = np.random.default_rng(0)
    image = rng.normal(size=(11, 9))
    record = {"prior": {"name": "tiny"}, "samples": 3, "seed": 0, "settings": {"steps": 2}, "seconds": 1.5}
    plain = Restoration(
        image, image, np.square(image).astype(np.float32), rng.normal(size=(3, 11, 9)).astype(np.float32),
        np.zeros((4, 2), np.float32), image > 0, [{"phase": "map", "loss": 1.0}], record,
        rng.random((4, 11, 9)).astype(np.float32),
    )  # fmt: skip
    whole = (100 * image).astype(np.int16)
    none = Restoration(
        whole, whole, np.full(image.shape, np.nan, np.float32), np.zeros((0, 11, 9), np.float32),
        np.zeros((4, 2), np.float32), image > 0, [], record | {"samples": 0},
    )  # fmt: skip
    return {"restoration": plain, "restoration-bare": none}


def _mutated(sample: Sample, samples: Sequence[Sample], random: Random) -> Files:
    name = random.choice(list(sample.files))
    data, others = sample.files[name], [other.files[other.opened] for other in samples]
    for _ in range(often(random)):
        if not name.endswith(".safetensors") or random.random() < 0.25:
            data = damaged(data, random, others)
        elif random.random() < 0.05:
            data = packed_number(random, 8) + data[8:]
        else:
            data = _header(data, random)
    return sample.files | {name: data}


def _header(data: bytes, random: Random) -> bytes:
    """Header edited as JSON, its length made right; the bytes of the tensors stay, or are edited alone."""
    length = int.from_bytes(data[:8], "little")
    body = data[8 + length :]
    try:
        header = json.loads(data[8 : 8 + length])
        names = [name for name in header if name != "__metadata__"]
        name = random.choice(names)
        entry = header[name]
        begin, end = entry["data_offsets"]
        count = (end - begin) // _ITEMS[entry["dtype"]]
    except (ValueError, TypeError, KeyError, IndexError, AttributeError, RecursionError):
        return damaged(data, random)
    match random.randrange(14):
        case 0:
            entry["dtype"] = random.choice([*_ITEMS, "F8", "C64"])
        case 1:
            entry["shape"] = [random.choice((*NUMBERS, -1, 1.0, True, "1", None)) for _ in range(random.randrange(5))]
        case 2 if isinstance(entry["shape"], list):
            random.shuffle(entry["shape"])
        case 2 | 3:
            entry["shape"] = random.choice(([count], [1, count], [count, 1], [1] * 30 + [count], [1] * 40 + [count]))
        case 4:
            entry["data_offsets"][random.randrange(2)] = random.choice((*NUMBERS, -1, 1.5, begin + 1, end - 1))
        case 5:
            del header[name]
        case 6:
            header[random.choice((random.choice(names), f"{name}2", "", "x" * 5000))] = header.pop(name)
        case 7:
            entry.pop(random.choice(list(entry)))
        case 8:
            header[name] = header[random.choice(names)]
        case 9:
            header[name] = random.choice(_VALUES)
        case 10 | 11 if isinstance(header.get("__metadata__"), dict) and header["__metadata__"]:
            header["__metadata__"] = _metadata(header["__metadata__"], random)
        case 10:
            header["__metadata__"] = random.choice((*_VALUES, {"format": "napari-brgm prior 1"}))
        case _ if end > begin:
            width = random.choice((2, 4, 8, max(min(end - begin, len(body)), 1)))
            at = begin + random.randrange(max((end - begin) // width, 1)) * width
            spoilt = random.choice((*_SPOILT, random.randbytes(8)))
            body = body[:at] + (spoilt * (width // len(spoilt) + 1))[:width] + body[at + width :]
    text = json.dumps(header).encode()
    if random.random() < 0.02:
        text = b"[" * random.choice((10, 100_000)) + text
    return len(text).to_bytes(8, "little") + text + body


def _metadata(metadata: dict[str, Any], random: Random) -> dict[str, Any]:
    """One text changed; where it is JSON itself, mostly one value in it."""
    key = random.choice(list(metadata))
    try:
        inner = json.loads(metadata[key])
    except (ValueError, TypeError, RecursionError):
        inner = None
    if not isinstance(inner, dict | list) or not inner or random.random() < 0.2:
        texts = ("", "{}", "[]", "null", "1e999", "{" * 5000, "x", "\ud800", "napari-brgm manifold 1", "NaN")
        return metadata | {key: random.choice((*texts, *_VALUES))}
    places = list(inner) if isinstance(inner, dict) else range(len(inner))
    place = random.choice(list(places))
    if random.random() < 0.3:
        del inner[place]
    else:
        inner[place] = random.choice((*_VALUES, *NUMBERS, *FLOATS, -5))
    return metadata | {key: json.dumps(inner)}


def _read(path: Path) -> int:
    """Read a restoration; read weights, draw, and import them."""
    if path.name == _RESULT:
        result = Restoration.load(path)
        if result.has_spread:
            result.interval(0.9)
        return 12 * result.estimate.nbytes
    load_prior(path).sample(1, seed=0)
    import_file(path, "tiny-import")
    return 4 * load_prior("tiny-import").sample(1, seed=0).numel()


TENSORS = Kind(_samples, _mutated, _read)
