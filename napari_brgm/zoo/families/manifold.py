"""The family of latent convolutional models, and its files. Nothing in them can run.

Tensors: ``generator.*`` (priors/hourglass.py) and ``map.*`` (priors/latent_maps.py), float16; ``latents.mean`` (P,)
float32, ``latents.basis`` (K, P) int8 with ``latents.scale`` (K,): principal components of phi; the parts of
zoo/described.py. What float16 cannot hold stays float32.
Metadata: ``format``, ``kind`` of the latent map, and ``info`` (JSON of PriorInfo).
"""

from __future__ import annotations

import json
from dataclasses import replace
from typing import TYPE_CHECKING

import torch

from napari_brgm.errors import WeightsError
from napari_brgm.priors.convolutional_manifold import ConvolutionalManifold
from napari_brgm.priors.hourglass import Hourglass
from napari_brgm.priors.latent_maps import map_from_state_dict
from napari_brgm.priors.latents import LowRankStatistics
from napari_brgm.priors.line import tangent
from napari_brgm.zoo.described import info_fields, info_of, parts_of, parts_tensors, rounded
from napari_brgm.zoo.family import Family

if TYPE_CHECKING:
    from torch import Tensor

    from napari_brgm.priors.prior import Prior
    from napari_brgm.zoo.family import WeightsFile

__all__ = ["FAMILY"]

_FORMAT = "napari-brgm manifold 1"
_LEVELS = 127  # of an 8-bit component


def _contents(prior: Prior, dtype: torch.dtype) -> tuple[dict[str, Tensor], dict[str, str]]:
    """Tensors and metadata, always in halves."""
    assert isinstance(prior, ConvolutionalManifold)
    nets = {f"generator.{k}": v for k, v in prior.generator.state_dict().items() if v.is_floating_point()}
    nets |= {f"map.{k}": v for k, v in prior.latent_map.state_dict().items()}
    scale = prior.latents.basis.abs().amax(dim=1).clamp(min=1e-30) / _LEVELS  # (K,)
    tensors = rounded(nets, torch.float16) | {
        "latents.mean": prior.latents.mean,
        "latents.basis": (prior.latents.basis / scale[:, None]).round().to(torch.int8),
        "latents.scale": scale,
    }
    tensors |= parts_tensors(prior.parts, torch.float16)
    return tensors, {"format": _FORMAT, "kind": prior.latent_map.kind, "info": json.dumps(info_fields(prior.info))}


def _read(file: WeightsFile) -> ConvolutionalManifold:
    tensors = file.tensors
    basis, scale = tensors["latents.basis"], tensors["latents.scale"]
    if basis.ndim != 2 or scale.shape != basis.shape[:1] or tensors["latents.mean"].shape != basis.shape[1:]:
        raise WeightsError("the components of the latents in these weights do not fit together")
    latents = LowRankStatistics(tensors["latents.mean"].float(), basis.float() * scale[:, None])
    if not torch.isfinite(latents.basis).all():
        raise WeightsError("the components of the latents in these weights are too large")
    info = info_of(file.fields, file.digest)
    generator = Hourglass.from_state_dict(file.under("generator."))
    latent_map = map_from_state_dict(file.metadata.get("kind", ""), file.under("map."))
    prior = ConvolutionalManifold(latent_map, generator, latents, info, parts_of(file))
    if prior.parts.line is None:  # then only poses have a line
        prior.parts = replace(prior.parts, line=tangent(prior))
    return prior


FAMILY = Family(
    "manifold", (_FORMAT,), _read, _contents, preset=lambda names: "manifold",
    rank=1,  # they restored worse on average (docs/manifolds.md)
)  # fmt: skip
