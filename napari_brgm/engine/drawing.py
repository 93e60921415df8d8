"""Drawing: posterior images on the scan's pixels and in its units, a batch at a time."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from napari_brgm.inference import Step, complete

if TYPE_CHECKING:
    from collections.abc import Generator

    import numpy.typing as npt

    from napari_brgm.engine.observe import Problem
    from napari_brgm.inference import Spread
    from napari_brgm.posterior import Posterior
    from napari_brgm.priors.residual_field import ResidualField

__all__ = ["LEAST_NOISE", "completed", "drawn"]

LEAST_NOISE = 2.0  # grey levels, of the data given the residual field: rounding and resampling


def drawn(
    posterior: Posterior, problem: Problem, spread: Spread, field: ResidualField | None, samples: int,
    generator: torch.Generator, total: int, batch: int, *, sparing: bool,
) -> Generator[Step, None, npt.NDArray[Any]]:  # fmt: skip
    """Posterior draws (S, H, W) in the scan's units, each consistent with the data; a Step for each batch.

    ``sparing`` completes them batch by batch too, for want of memory; else all at once, which is faster.
    """
    batches = torch.split(spread.sample(samples, generator), batch)
    images = []
    for i, part in enumerate(batches):
        with torch.no_grad():
            images.append(posterior.images(part))
        yield Step("samples", total - len(batches) + i + 1, total, math.nan)
    with torch.no_grad():
        whole = completed(problem, field, torch.cat(images), generator, batch if sparing else None)
        parts = torch.split(whole, batch) if sparing else (whole,)
        return np.concatenate([problem.finish(part, posterior.settings.data_consistency) for part in parts])


def completed(
    problem: Problem, field: ResidualField | None, images: torch.Tensor, generator: torch.Generator | None = None,
    batch: int | None = None,
) -> torch.Tensor:  # fmt: skip
    """Images with what the generator cannot draw: its mean given the data, or with ``generator`` a draw for each."""
    if field is None:
        return images
    noise = max(problem.noise["measured"], LEAST_NOISE)
    return complete(images, field, problem.likelihood, noise, generator, batch)
