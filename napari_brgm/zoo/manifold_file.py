"""Weight file of a latent convolutional model, as safetensors. Nothing in it can run.

Tensors: ``generator.*`` (priors/hourglass.py) and ``map.*`` (priors/latent_maps.py), float16; ``latents.mean`` (P,)
float32, ``latents.basis`` (K, P) int8 with ``latents.scale`` (K,): principal components of phi; ``residual.std`` and
``residual.correlation`` for what the generator cannot draw; ``linearisation.*`` (zoo/linearisation_file.py). What
float16 cannot hold stays float32.
Metadata: ``format``, ``kind`` of the latent map, and ``info`` (JSON of PriorInfo).
"""

from __future__ import annotations

import json
import math
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from napari_brgm.errors import WeightsError
from napari_brgm.priors.convolutional_manifold import ConvolutionalManifold
from napari_brgm.priors.hourglass import Hourglass
from napari_brgm.priors.latent_maps import map_from_state_dict
from napari_brgm.priors.prior import LowRankStatistics, PriorInfo
from napari_brgm.priors.residual_field import ResidualField
from napari_brgm.tensor_file import write_tensors
from napari_brgm.zoo.linearisation_file import linearisation_of, linearisation_tensors

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["MANIFOLD_FORMAT", "assembled_manifold", "info_fields", "prior_info", "write_manifold"]

MANIFOLD_FORMAT = "napari-brgm manifold 1"
_LEVELS = 127  # of an 8-bit component
_IN_FILE = ("name", "modality", "plane", "spacing_mm", "bright_level", "representation_sigma")


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
    largest = torch.finfo(torch.float16).max  # what a half cannot hold stays a float
    tensors = {k: v.half() if v.abs().max() <= largest else v for k, v in halves.items()}
    tensors |= {
        "latents.mean": prior.latents.mean,
        "latents.basis": (prior.latents.basis / scale[:, None]).round().to(torch.int8),
        "latents.scale": scale,
    }
    tensors |= linearisation_tensors(prior.linearisation)
    tensors = {k: v.detach().cpu().contiguous() for k, v in tensors.items()}
    metadata = {"format": MANIFOLD_FORMAT, "kind": prior.latent_map.kind, "info": json.dumps(info_fields(prior.info))}
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
    latents = LowRankStatistics(tensors["latents.mean"].float(), basis.float() * scale[:, None])
    if not torch.isfinite(latents.basis).all():
        raise WeightsError("the components of the latents in these weights are too large")
    residual = None
    if "residual.std" in tensors:
        residual = ResidualField(tensors["residual.std"], tensors["residual.correlation"])
    info = prior_info(json.loads(metadata["info"]), digest)
    generator = Hourglass.from_state_dict(under("generator."))
    return ConvolutionalManifold(
        map_from_state_dict(metadata.get("kind", ""), under("map.")), generator, latents, info, residual,
        linearisation_of(tensors, info),
    )  # fmt: skip


def info_fields(info: PriorInfo) -> dict[str, Any]:
    """What a file says of its prior; its own hash, and what the registry knows of it, are not in it."""
    return {name: getattr(info, name) for name in _IN_FILE}


def prior_info(fields: dict[str, Any], digest: str) -> PriorInfo:
    """Describe a prior by the fields in its file, whose SHA-256 is ``digest``.

    Raises
    ------
    WeightsError
        A field is no text or number of its kind.
    TypeError
        There is no such field.
    """
    info = replace(PriorInfo(**fields), weights_sha256=digest)
    texts = (info.name, info.modality, info.plane)
    numbers = (info.spacing_mm, info.bright_level, info.representation_sigma)
    if not all(isinstance(text, str) for text in texts) or not all(
        isinstance(number, int | float) and 0 <= number < math.inf for number in numbers
    ):
        raise WeightsError("the description in these weights holds something else than names and sizes")
    return info
