"""What the files of all families have in common: the description of the prior, and the parts beside its network.

Tensors: ``residual.std`` and ``residual.correlation`` for what the generator cannot draw, ``encoder.*`` for perceptual
features; ``linearisation.mean`` (C, R, R), ``linearisation.basis`` (K, C, r, r) and ``linearisation.noise`` (), the
variance of what the line through the generator's draws misses (priors/line.py); ``through.latents`` (K, M) and
``through.residual`` (F, M), shares of the correlations along the slice axis (priors/through_plane.py); ``detail.*`` and
``finish.*``, the networks of through_detail.py and finish.py; ``mixture.centres`` (M, k) and ``mixture.shrinkage`` (k,)
of latent_mixture.py.
"""

from __future__ import annotations

import math
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import torch

from napari_brgm.calibration import Calibration
from napari_brgm.errors import InputError, WeightsError
from napari_brgm.priors.bridge import Bridge
from napari_brgm.priors.encoder import Encoder
from napari_brgm.priors.finish import Finish, packed
from napari_brgm.priors.info import PriorInfo
from napari_brgm.priors.latent_mixture import LatentMixture
from napari_brgm.priors.linear_model import LinearModel
from napari_brgm.priors.parts import Line, Parts
from napari_brgm.priors.residual_field import ResidualField
from napari_brgm.priors.through_detail import ThroughDetail
from napari_brgm.priors.through_plane import ThroughPlane

if TYPE_CHECKING:
    from torch import Tensor

    from napari_brgm.zoo.family import WeightsFile

__all__ = ["info_fields", "info_of", "parts_of", "parts_tensors", "rounded"]

_IN_FILE = ("name", "modality", "plane", "spacing_mm", "bright_level", "representation_sigma")


def info_fields(info: PriorInfo) -> dict[str, Any]:
    """What a file says of its prior; its own hash, and what registry and family know of it, are not in it.

    Limits and calibration are there only if they were measured.
    """
    found = {name: getattr(info, name) for name in _IN_FILE}
    for limit in ("misfit_limit", "suspect_limit"):
        if getattr(info, limit):
            found[limit] = getattr(info, limit)
    if info.calibration is not None:
        found["calibration"] = info.calibration.to_dict()
    return found


def info_of(fields: dict[str, Any], digest: str) -> PriorInfo:
    """Describe a prior by the fields in its file, whose SHA-256 is ``digest``.

    Raises
    ------
    WeightsError
        A field is no text or number of its kind, or the calibration is malformed.
    TypeError
        There is no such field.
    """
    factors = fields.pop("calibration", None)
    info = replace(PriorInfo(**fields), weights_sha256=digest)
    if factors is not None:
        info = replace(info, calibration=Calibration.from_dict(factors))
    texts = (info.name, info.modality, info.plane)
    numbers = (info.spacing_mm, info.bright_level, info.representation_sigma, info.misfit_limit, info.suspect_limit)
    if not all(isinstance(text, str) for text in texts) or not all(
        isinstance(number, int | float) and 0 <= number < math.inf for number in numbers
    ):
        raise WeightsError("the description in these weights holds something else than names and sizes")
    return info


def rounded(tensors: dict[str, Tensor], dtype: torch.dtype) -> dict[str, Tensor]:
    """Tensors in ``dtype``; what it cannot hold in float32."""
    largest = torch.finfo(dtype).max
    return {
        k: v.detach().to(dtype if v.numel() == 0 or v.abs().max() <= largest else torch.float32)
        for k, v in tensors.items()
    }


def parts_tensors(parts: Parts, dtype: torch.dtype) -> dict[str, Tensor]:
    """Tensors of the parts but for an exact line, which its family writes; lines for poses only are made anew."""
    found: dict[str, Tensor] = {}
    if parts.encoder is not None:
        found |= {f"encoder.{k}": v for k, v in parts.encoder.state_dict().items()}
    if parts.residual is not None:
        found |= {"residual.std": parts.residual.std, "residual.correlation": parts.residual.correlation}
    if parts.through is not None:
        found |= {"through.latents": parts.through.latents, "through.residual": parts.through.residual}
    if parts.detail is not None:
        found |= {f"detail.{k}": v for k, v in parts.detail.state_dict().items()}
    if parts.bridge is not None:
        found |= {f"bridge.{k}": v for k, v in parts.bridge.state_dict().items()}
    found = rounded(found, dtype)
    if parts.finish is not None:
        found |= {f"finish.{k}": v for k, v in packed(parts.finish).items()}
    if parts.mixture is not None:
        found |= {"mixture.centres": parts.mixture.centres.half(), "mixture.shrinkage": parts.mixture.shrinkage.half()}
    line = parts.line
    if line is not None and line.complete and not line.exact:
        found |= {
            "linearisation.mean": line.model.mean.half(), "linearisation.basis": line.model.coarse.half(),
            "linearisation.noise": torch.tensor(line.model.noise_variance),
        }  # fmt: skip
    return found


def parts_of(file: WeightsFile) -> Parts:
    """Parts in a file.

    Raises
    ------
    WeightsError
        They do not fit together.
    """
    tensors = file.tensors
    residual = None
    if "residual.std" in tensors:
        residual = ResidualField(tensors["residual.std"], tensors["residual.correlation"])
    encoder = Encoder.from_state_dict(weights) if (weights := file.under("encoder.")) else None
    detail = ThroughDetail.from_state_dict(weights) if (weights := file.under("detail.")) else None
    bridge = Bridge.from_state_dict(weights) if (weights := file.under("bridge.")) else None
    finish = Finish.from_state_dict(weights) if (weights := file.under("finish.")) else None
    return Parts(
        _line_of(tensors), residual, encoder, _through_of(tensors), detail, bridge, finish, _mixture_of(tensors)
    )


def _mixture_of(tensors: dict[str, Tensor]) -> LatentMixture | None:
    if "mixture.centres" not in tensors:
        return None
    centres, shrinkage = (tensors.get(f"mixture.{part}", torch.zeros(0)).float() for part in ("centres", "shrinkage"))
    try:
        return LatentMixture(centres, shrinkage)
    except InputError as error:
        raise WeightsError(f"these weights do not hold what belongs together: {error}") from error


def _through_of(tensors: dict[str, Tensor]) -> ThroughPlane | None:
    if "through.latents" not in tensors:
        return None
    latents, residual = tensors["through.latents"].float(), tensors["through.residual"].float()
    if latents.ndim != 2 or residual.ndim != 2:
        raise WeightsError("the correlations along the slice axis in these weights have the wrong shape")
    try:
        return ThroughPlane(latents, residual)
    except InputError as error:
        raise WeightsError(f"these weights do not hold what belongs together: {error}") from error


def _line_of(tensors: dict[str, Tensor]) -> Line | None:
    if "linearisation.basis" not in tensors:
        return None
    mean, basis, noise = (tensors[f"linearisation.{part}"].float() for part in ("mean", "basis", "noise"))
    fits = mean.ndim == 3 and basis.ndim == 4 and len(mean) == basis.shape[1] and 0 not in basis.shape
    if (
        not fits
        or mean.shape[-1] % basis.shape[-1]
        or basis.shape[-2] != basis.shape[-1]
        or noise.ndim
        or not noise >= 0
    ):
        raise WeightsError("the linearisation in these weights is malformed")
    return Line(LinearModel(mean, basis, float(noise)), exact=False)
