"""The family of StyleGAN2 generators, and its files. Nothing in them can run.

Tensors, float16 or float32: ``synthesis.*`` (names of docs/design.md), ``mapping.*`` if z is mapped, ``linear.mean``
(C, R, R), ``linear.support`` (r, r) uint8 and ``linear.basis`` (K, C, pixels in the support) for a linear part, int8
with ``linear.scale`` (K,) in a file of halves; ``latents.mean`` (D,) and ``latents.covariance`` (D, D), float32 unless
rounding does no harm; the parts of zoo/described.py.
Metadata: ``format`` and ``info`` (JSON of PriorInfo, conv_clamp and activations among it); notes of an import. A file
without ``format`` is a bare state dict in a published layout, whose latent statistics are computed; its metadata may
say ``conv_clamp``, and must where its images depend on it.
Noise maps are left out where their strength is 0; what float16 cannot hold stays float32.
"""

from __future__ import annotations

import json
import math
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from napari_brgm.errors import WeightsError
from napari_brgm.priors.info import PriorInfo
from napari_brgm.priors.latents import LatentStatistics
from napari_brgm.priors.linear_model import LinearModel
from napari_brgm.priors.stylegan2 import LARGEST, Mapping, Synthesis
from napari_brgm.priors.stylegan2_prior import StyleGAN2Prior
from napari_brgm.zoo.assumed_clamp import clamp_matters
from napari_brgm.zoo.described import info_fields, info_of, parts_of, parts_tensors, rounded
from napari_brgm.zoo.family import Family
from napari_brgm.zoo.state_table import read_table

if TYPE_CHECKING:
    from collections.abc import Collection
    from typing import Any

    from napari_brgm.priors.prior import Prior
    from napari_brgm.zoo.family import WeightsFile

__all__ = ["FAMILY"]

_FORMAT = "napari-brgm prior 1"


def _contents(prior: Prior, dtype: torch.dtype) -> tuple[dict[str, Tensor], dict[str, str]]:
    """Tensors and metadata."""
    assert isinstance(prior, StyleGAN2Prior)
    own = prior.synthesis.state_dict()
    unused = {k.replace("noise_strength", "noise_const") for k, v in own.items() if "noise_strength" in k and v == 0}
    nets = {f"synthesis.{k}": v for k, v in own.items() if k not in unused}
    if prior.mapping is not None:
        nets |= {f"mapping.{k}": v for k, v in prior.mapping.state_dict().items()}
    if prior.base is not None:
        nets["linear.mean"] = prior.base.mean
    covariance = prior.latents.covariance
    tensors = rounded(nets, dtype) | parts_tensors(prior.parts, dtype)
    tensors |= {"latents.mean": prior.latents.mean, "latents.covariance": _rounded(covariance, dtype)}
    if prior.base is not None:
        tensors |= _packed(prior.base, dtype)
    info = info_fields(prior.info)
    info |= {"conv_clamp": prior.synthesis.conv_clamp, "activation": prior.synthesis.activation}
    if prior.mapping is not None:
        info["mapping_activation"] = prior.mapping.activation
    info["linear_noise_variance"] = prior.base.noise_variance if prior.base is not None else 0.0
    return tensors, {"format": _FORMAT, "info": json.dumps(info)}


def _rounded(covariance: Tensor, dtype: torch.dtype) -> Tensor:
    """The covariance in ``dtype`` where rounding does no harm; a steep one would become indefinite, a wide one inf."""
    values = torch.linalg.eigvalsh(covariance.double())
    harmless = values[0] > 0.02 * values[-1] and covariance.abs().max() <= torch.finfo(dtype).max
    return covariance.to(dtype) if harmless else covariance.float()


def _packed(base: LinearModel, dtype: torch.dtype) -> dict[str, Tensor]:
    """The linear part's basis inside its support: 8 bits and a scale for each component where halves are wanted."""
    basis = base.coarse.detach()
    support = basis.abs().amax(dim=(0, 1)) > 0  # (r, r)
    inside = basis[:, :, support]  # (K, C, pixels)
    found = {"linear.support": support.to(torch.uint8), "linear.basis": inside}
    if dtype is torch.float16:
        scale = inside.abs().amax(dim=(1, 2)).clamp(min=1e-30) / 127
        found["linear.basis"] = (inside / scale[:, None, None]).round().to(torch.int8)
        found["linear.scale"] = scale.float()
    return found


def _read(file: WeightsFile) -> StyleGAN2Prior:
    if file.metadata.get("format") != _FORMAT:
        found = read_table(file.tensors, file.metadata)
        prior = StyleGAN2Prior.of_network(found.network(), PriorInfo(file.name, weights_sha256=file.digest))
        if found.stated.clamp_assumed:
            clamp_matters(prior)
        return prior
    own = file.under("synthesis.")
    for k in [k for k in own if k.endswith("conv0.weight") or k.endswith("conv1.weight")]:
        block = k.rsplit(".", 1)[0]
        side = min(int(k.split(".")[0][1:]), LARGEST)
        if f"{block}.noise_const" not in own:  # left out where the noise strength is 0
            own[f"{block}.noise_const"] = torch.zeros(side, side)
    info = file.fields
    clamp, linear_noise = info.pop("conv_clamp"), info.pop("linear_noise_variance")
    numbers = [linear_noise, *([] if clamp is None else [clamp])]
    if not all(isinstance(one, int | float) and 0 <= one < math.inf for one in numbers):
        raise WeightsError("the clamp or the noise in the description of these weights is no number of 0 or more")
    activation, mapping_activation = info.pop("activation", "lrelu"), info.pop("mapping_activation", "lrelu")
    synthesis = Synthesis.from_state_dict(own, clamp, activation)
    latents = LatentStatistics(file.tensors["latents.mean"], file.tensors["latents.covariance"])
    return StyleGAN2Prior(
        synthesis, latents, info_of(info, file.digest), mapping=_mapping(file, synthesis, mapping_activation),
        base=_base(file.tensors, linear_noise), parts=parts_of(file),
    )  # fmt: skip


def _base(tensors: dict[str, Tensor], noise: float) -> LinearModel | None:
    if "linear.basis" not in tensors:
        return None
    support = tensors["linear.support"].bool()
    packed = tensors["linear.basis"].float()
    if "linear.scale" in tensors:
        packed = packed * tensors["linear.scale"][:, None, None]
    basis = torch.zeros(*packed.shape[:2], *support.shape)
    basis[:, :, support] = packed
    return LinearModel(tensors["linear.mean"], basis, noise)


def _mapping(file: WeightsFile, synthesis: Synthesis, activation: Any) -> Mapping | None:
    if not (weights := file.under("mapping.")):
        return None
    return Mapping.from_state_dict(weights, synthesis.w_dim, synthesis.num_ws, activation)


def _preset(names: Collection[str]) -> str:
    return "default" if "linear.basis" in names else "unaided"


FAMILY = Family("stylegan2", (_FORMAT, ""), _read, _contents, preset=_preset)
