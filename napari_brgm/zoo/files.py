"""Weight files: a prior as one safetensors file. Nothing in it can run.

Tensors, float16 or float32: ``synthesis.*`` (names of docs/design.md), ``mapping.*`` if z is mapped, ``linear.mean``
(C, R, R), ``linear.support`` (r, r) uint8 and ``linear.basis`` (K, C, pixels in the support) for a linear part, int8
with ``linear.scale`` (K,) in a file of halves; ``latents.mean`` (D,) and ``latents.covariance`` (D, D), float32 unless
rounding does no harm; ``encoder.*`` for perceptual features,
``residual.std`` and ``residual.correlation`` (R, R) for what the generator cannot draw.
Metadata: ``format`` and ``info`` (JSON of PriorInfo, conv_clamp and activations among it); notes of an import.
Latent convolutional models have a layout of their own (zoo/manifold_file.py).
Noise maps are left out where their strength is 0; what float16 cannot hold stays float32.
"""

from __future__ import annotations

import hashlib
import json
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from napari_brgm.errors import BrgmError, OutputError, WeightsError
from napari_brgm.priors.convolutional_manifold import ConvolutionalManifold
from napari_brgm.priors.encoder import Encoder
from napari_brgm.priors.linear_gaussian import LinearGaussian
from napari_brgm.priors.prior import LatentStatistics, PriorInfo
from napari_brgm.priors.residual_field import ResidualField
from napari_brgm.priors.stylegan2 import LARGEST, Mapping, StyleGAN2, Synthesis, load_exactly
from napari_brgm.priors.stylegan2_prior import StyleGAN2Prior
from napari_brgm.tensor_file import read_tensors, write_tensors
from napari_brgm.zoo.linearisation_file import linearisation_of, linearisation_tensors
from napari_brgm.zoo.manifold_file import MANIFOLD_FORMAT, assembled_manifold, info_fields, prior_info, write_manifold

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

__all__ = ["AnyPrior", "read_prior", "sha256_of", "write_prior"]

AnyPrior = StyleGAN2Prior | ConvolutionalManifold

_FORMAT = "napari-brgm prior 1"


def sha256_of(path: Path) -> str:
    """Hexadecimal SHA-256 of a file."""
    with path.open("rb") as handle:
        return hashlib.file_digest(handle, "sha256").hexdigest()


def write_prior(
    prior: StyleGAN2Prior | ConvolutionalManifold, path: Path, dtype: torch.dtype = torch.float16,
    notes: dict[str, str] | None = None,
) -> str:  # fmt: skip
    """Write ``prior`` with its latent statistics, and notes as metadata; returns the SHA-256 of the file.

    ``dtype`` is that of StyleGAN2 networks; convolutional manifolds are always written in halves.

    Raises
    ------
    OutputError
        The file cannot be written.
    """
    try:
        if isinstance(prior, ConvolutionalManifold):
            write_manifold(prior, path, notes or {})
        else:
            write_tensors(path, *_contents(prior, dtype, notes or {}))
    except OSError as error:
        raise OutputError(f"the weights cannot be written to {path}: choose a folder that can be written") from error
    return sha256_of(path)


def _contents(
    prior: StyleGAN2Prior, dtype: torch.dtype, notes: dict[str, str]
) -> tuple[dict[str, Tensor], dict[str, str]]:
    """Tensors and metadata of the file."""
    own = prior.synthesis.state_dict()
    unused = {k.replace("noise_strength", "noise_const") for k, v in own.items() if "noise_strength" in k and v == 0}
    tensors = {f"synthesis.{k}": v for k, v in own.items() if k not in unused}
    if prior.mapping is not None:
        tensors |= {f"mapping.{k}": v for k, v in prior.mapping.state_dict().items()}
    if prior.base is not None:
        tensors["linear.mean"] = prior.base.mean
    if prior.encoder is not None:
        tensors |= {f"encoder.{k}": v for k, v in prior.encoder.state_dict().items()}
    if prior.residual is not None:
        tensors |= {"residual.std": prior.residual.std, "residual.correlation": prior.residual.correlation}
    largest = torch.finfo(dtype).max
    tensors = {k: v.detach().to(dtype if v.abs().max() <= largest else torch.float32) for k, v in tensors.items()}
    covariance = prior.latents.covariance
    tensors |= {"latents.mean": prior.latents.mean, "latents.covariance": _rounded(covariance, dtype)}
    if prior.base is not None:
        tensors |= _packed(prior.base, dtype)
    tensors |= linearisation_tensors(prior.linearisation)
    tensors = {k: v.cpu().contiguous() for k, v in tensors.items()}
    info = info_fields(prior.info)
    info |= {"conv_clamp": prior.synthesis.conv_clamp, "activation": prior.synthesis.activation}
    if prior.mapping is not None:
        info["mapping_activation"] = prior.mapping.activation
    info["linear_noise_variance"] = prior.base.noise_variance if prior.base is not None else 0.0
    return tensors, {"format": _FORMAT, "info": json.dumps(info), **notes}


def _rounded(covariance: Tensor, dtype: torch.dtype) -> Tensor:
    """The covariance in ``dtype`` where rounding does no harm; a steep one would become indefinite, a wide one inf."""
    values = torch.linalg.eigvalsh(covariance.double())
    harmless = values[0] > 0.02 * values[-1] and covariance.abs().max() <= torch.finfo(dtype).max
    return covariance.to(dtype) if harmless else covariance.float()


def _packed(base: LinearGaussian, dtype: torch.dtype) -> dict[str, Tensor]:
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


def read_prior(path: Path, name: str | None = None) -> AnyPrior:
    """Read a prior of either family, or a bare StyleGAN2 state dict (its latent statistics are then computed).

    Raises
    ------
    WeightsError
        The file is missing, damaged, or holds something else.
    """
    if not path.is_file():
        raise WeightsError(f"there is no weights file {path}; see `napari-brgm info` for the priors that are installed")
    try:
        tensors, metadata = read_tensors(path)
        info: dict[str, Any] = json.loads(metadata["info"]) if metadata.get("format") == _FORMAT else {}
    except (OSError, ValueError, KeyError, RecursionError) as error:
        raise WeightsError(
            f"{path.name} cannot be read as safetensors weights; it is damaged, or needs `weights import`"
        ) from error
    tensors = {k: v.float() if v.is_floating_point() else v for k, v in tensors.items()}
    if not all(torch.isfinite(v).all() for v in tensors.values() if v.is_floating_point()):
        raise WeightsError(f"{path.name} holds values that are not finite; it is damaged")
    digest = sha256_of(path)
    if metadata.get("format") == MANIFOLD_FORMAT:
        return _complete(path, lambda: assembled_manifold(tensors, metadata, digest))
    if not info:
        try:
            net = StyleGAN2.from_state_dict(tensors)
        except WeightsError as error:
            raise WeightsError(f"{path.name}: {error}") from error
        return StyleGAN2Prior.of_network(net, PriorInfo(name or path.stem, weights_sha256=digest))
    return _complete(path, lambda: _assembled(tensors, info, digest))


def _complete(path: Path, assemble: Callable[[], AnyPrior]) -> AnyPrior:
    """Assemble a prior; what a file of ours lacks is one sentence."""
    try:
        return assemble()
    except BrgmError:
        raise
    except Exception as error:
        raise WeightsError(f"{path.name} does not hold a complete prior: {error}") from error


def _assembled(tensors: dict[str, Tensor], info: dict[str, Any], digest: str) -> StyleGAN2Prior:
    def under(prefix: str) -> dict[str, Tensor]:
        return {k.removeprefix(prefix): v for k, v in tensors.items() if k.startswith(prefix)}

    own = under("synthesis.")
    for k in [k for k in own if k.endswith("conv0.weight") or k.endswith("conv1.weight")]:
        block = k.rsplit(".", 1)[0]
        side = min(int(k.split(".")[0][1:]), LARGEST)
        if f"{block}.noise_const" not in own:  # left out where the noise strength is 0
            own[f"{block}.noise_const"] = torch.zeros(side, side)
    clamp, linear_noise = info.pop("conv_clamp"), info.pop("linear_noise_variance")
    activation, mapping_activation = info.pop("activation", "lrelu"), info.pop("mapping_activation", "lrelu")
    synthesis = Synthesis.from_state_dict(own, clamp, activation)
    described = prior_info(info, digest)
    base = None
    if "linear.basis" in tensors:
        support = tensors["linear.support"].bool()
        packed = tensors["linear.basis"].float()
        if "linear.scale" in tensors:
            packed = packed * tensors["linear.scale"][:, None, None]
        basis = torch.zeros(*packed.shape[:2], *support.shape)
        basis[:, :, support] = packed
        base = LinearGaussian(tensors["linear.mean"], basis, linear_noise, described)
    mapping = None
    if weights := under("mapping."):
        layers = sum(k.endswith(".weight") for k in weights)
        size = int(weights["fc0.weight"].shape[1])
        with torch.device("meta"):
            mapping = Mapping(size, synthesis.w_dim, synthesis.num_ws, layers, mapping_activation)
        load_exactly(mapping, weights)
    encoder = Encoder.from_state_dict(weights) if (weights := under("encoder.")) else None
    residual = None
    if "residual.std" in tensors:
        residual = ResidualField(tensors["residual.std"], tensors["residual.correlation"])
    latents = LatentStatistics(tensors["latents.mean"], tensors["latents.covariance"])
    return StyleGAN2Prior(
        synthesis, latents, described, mapping=mapping, base=base, encoder=encoder, residual=residual,
        linearisation=linearisation_of(tensors, described),
    )  # fmt: skip
