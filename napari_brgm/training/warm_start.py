"""Warm start: weights of another training where names and shapes fit."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, cast

import torch
from torch import Tensor

from napari_brgm.errors import WeightsError
from napari_brgm.zoo.files import read_prior

if TYPE_CHECKING:
    from collections.abc import Mapping

    from napari_brgm.priors.stylegan2_prior import StyleGAN2Prior
    from napari_brgm.training.gan_state import GanState

__all__ = ["warm_start_from"]


def warm_start_from(state: GanState, source: Path | Mapping[str, Tensor]) -> str:
    """Copy what fits by name and shape to the generator and its average.

    Parameters
    ----------
    state : GanState
        Changed in place.
    source : Path or dict
        Weights file of a prior, or a state dict of a StyleGAN2 or of a Synthesis.

    Returns
    -------
    str
        A sentence of what was copied.

    Raises
    ------
    WeightsError
        The file cannot be read, or nothing in it fits.
    """
    if isinstance(source, Path):
        prior = cast("StyleGAN2Prior", read_prior(source))
        if prior.info.family != "stylegan2":
            raise WeightsError(f"{source.name} is no StyleGAN2; give weights of one, or train without a warm start")
        weights = {f"synthesis.{k}": v for k, v in prior.synthesis.state_dict().items()}
        if prior.mapping is not None:
            weights |= {f"mapping.{k}": v for k, v in prior.mapping.state_dict().items()}
    else:
        whole = any(k.startswith("synthesis.") for k in source)
        weights = dict(source) if whole else {f"synthesis.{k}": v for k, v in source.items()}
    own = state.generator.state_dict()
    fitting = [k for k, v in own.items() if k in weights and weights[k].shape == v.shape]
    if not fitting:
        raise WeightsError("no tensor of the warm start fits this network; train with the same widths, or without it")
    with torch.no_grad():
        for net in (state.generator, state.average):
            tensors = net.state_dict()
            for k in fitting:
                tensors[k].copy_(weights[k])
    missing = sorted({k.split(".")[0] + "." + k.split(".")[1] for k in own if k not in fitting})
    new = f"; new are tensors of {', '.join(missing)}" if missing else ""
    return f"warm start with {len(fitting)} of {len(own)} tensors of the generator{new}"
