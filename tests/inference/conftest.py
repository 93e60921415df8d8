"""A linear problem on 24 px whose posterior is known exactly."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import pytest
import torch

from napari_brgm.corruptions import Blur, Downsample, Mask
from napari_brgm.likelihood import Likelihood, to_grey
from napari_brgm.posterior import Posterior
from napari_brgm.settings import preset

if TYPE_CHECKING:
    from collections.abc import Callable

    from torch import Tensor

    from napari_brgm.priors.linear_gaussian import LinearGaussian


@dataclass(frozen=True)
class Exact:
    """A posterior, with mean (K,) and precision (K, K) of its latents w from dense float64 matrices."""

    posterior: Posterior
    mean: Tensor
    precision: Tensor

    @property
    def mean_field_std(self) -> Tensor:
        return self.precision.diagonal().rsqrt()


@pytest.fixture(scope="session")
def hole() -> Tensor:
    missing = torch.zeros(24, 24, dtype=torch.bool)
    missing[4:16, 10:24] = True
    return missing


@pytest.fixture(scope="session")
def linear_problem(linear_prior: LinearGaussian, hole: Tensor) -> Callable[..., Exact]:
    """``build(kind, sigma, **settings)`` with kind 'mask', 'downsample' or 'blur' and sigma in grey levels.

    ``uneven`` gives each pixel a noise of its own, from sigma / 2 to 2 sigma.
    """

    def build(kind: str, sigma: float = 25.0, uneven: bool = False, **changes: object) -> Exact:
        f = {"mask": Mask(hole), "downsample": Downsample(3), "blur": Blur(4.0)}[kind]
        generator = torch.Generator().manual_seed(11)
        clean = f.A(to_grey(linear_prior.sample(1, seed=21)))
        observed = ~hole[None, None] if kind == "mask" else torch.ones_like(clean, dtype=torch.bool)
        y = clean + 10 * torch.randn(clean.shape, generator=generator)
        own = 2 ** (2 * torch.rand(clean.shape, generator=generator) - 1) if uneven else torch.ones_like(clean)
        likelihood = Likelihood(y, f.A, observed.float(), sigma, weight=own**-2 if uneven else None)
        b = (f.A(127.5 * linear_prior.basis.double()) * observed / own).flatten(1)  # (K, M)
        r = ((y.double() - f.A(to_grey(linear_prior.mean.double())[None])) * observed / own).flatten()
        precision = torch.eye(len(b), dtype=torch.float64) + b @ b.T / sigma**2
        mean = torch.linalg.solve(precision, b @ r / sigma**2)
        settings = preset("default").but(**{"start": "mean", **changes})
        return Exact(Posterior(linear_prior, likelihood, settings), mean, precision)

    return build


@pytest.fixture(scope="session")
def finish() -> Callable[..., tuple[list[tuple[object, Tensor]], object]]:
    """``finish(generator)``: what an inference yielded, and what it returned."""

    def run(inference):
        yielded = []
        while True:
            try:
                yielded.append(next(inference))
            except StopIteration as end:
                return yielded, end.value

    return run
