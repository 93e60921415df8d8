"""Weight file of a latent convolutional model, as safetensors. Nothing in it can run.

Tensors: ``generator.*`` (priors/hourglass.py) and ``map.*`` (priors/latent_maps.py), float16; ``latents.mean`` (P,)
float32, ``latents.basis`` (K, P) int8 with ``latents.scale`` (K,): principal components of phi; ``residual.std`` and
``residual.correlation`` for what the generator cannot draw.
Metadata: ``format``, ``kind`` of the latent map, and ``info`` (JSON of PriorInfo).
"""

from __future__ import annotations

import json
from dataclasses import asdict, replace
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from napari_brgm.errors import WeightsError
from napari_brgm.priors.convolutional_manifold import ConvolutionalManifold
from napari_brgm.priors.hourglass import Hourglass
from napari_brgm.priors.latent_maps import map_from_state_dict
from napari_brgm.priors.prior import LowRankStatistics, PriorInfo
from napari_brgm.priors.residual_field import ResidualField
from napari_brgm.tensor_file import write_tensors

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["MANIFOLD_FORMAT", "assembled_manifold", "write_manifold"]

MANIFOLD_FORMAT = "napari-brgm manifold 1"
_LEVELS = 127  # of an 8-bit component


def write_manifold(prior: ConvolutionalManifold, path: Path, notes: dict[str, str]) -> None:
    """Write ``prior``, and notes as metadata.

    Raises
    ------
    OSError
        The file cannot be written.
    """
    halves = {f"generator.{k}": v for k, v in prior.generator.state_dict().items() if v.is_floating_point()}
    halves |= {f"map.{k}": v for k, v in prior.latent_map.state_dict().items()}
    if prior.residual is not None:
        halves |= {"residual.std": prior.residual.std, "residual.correlation": prior.residual.correlation}
    scale = prior.latents.basis.abs().amax(dim=1).clamp(min=1e-30) / _LEVELS  # (K,)
    tensors = {k: v.half() for k, v in halves.items()}
    tensors |= {
        "latents.mean": prior.latents.mean,
        "latents.basis": (prior.latents.basis / scale[:, None]).round().to(torch.int8),
        "latents.scale": scale,
    }
    tensors = {k: v.detach().cpu().contiguous() for k, v in tensors.items()}
    metadata = {"format": MANIFOLD_FORMAT, "kind": prior.latent_map.kind, "info": json.dumps(asdict(prior.info))}
    write_tensors(path, tensors, metadata | notes)


def assembled_manifold(tensors: dict[str, Tensor], metadata: dict[str, str], digest: str) -> ConvolutionalManifold:
    """Prior of the tensors (floats in float32) and metadata of a file whose SHA-256 is ``digest``.

    Raises
    ------
    WeightsError
        A part is missing or does not fit.
    """

    def under(prefix: str) -> dict[str, Tensor]:
        return {k.removeprefix(prefix): v for k, v in tensors.items() if k.startswith(prefix)}

    basis, scale = tensors["latents.basis"], tensors["latents.scale"]
    if basis.ndim != 2 or scale.shape != basis.shape[:1] or tensors["latents.mean"].shape != basis.shape[1:]:
        raise WeightsError("the components of the latents in these weights do not fit together")
    latents = LowRankStatistics(tensors["latents.mean"], basis.float() * scale[:, None])
    residual = None
    if "residual.std" in tensors:
        residual = ResidualField(tensors["residual.std"], tensors["residual.correlation"])
    info = replace(PriorInfo(**json.loads(metadata["info"])), weights_sha256=digest)
    generator = Hourglass.from_state_dict(under("generator."))
    return ConvolutionalManifold(
        map_from_state_dict(metadata.get("kind", ""), under("map.")), generator, latents, info, residual
    )
