"""A linear problem on 24 px whose posterior is known exactly, a curved one, and what an inference tells."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pytest
import torch

from napari_brgm.corruptions import Blur, Downsample, Identity, Mask
from napari_brgm.inference import Progress
from napari_brgm.likelihood import Likelihood, to_grey
from napari_brgm.observation import Observation, all_measured
from napari_brgm.posterior import Posterior
from napari_brgm.settings import preset

if TYPE_CHECKING:
    from collections.abc import Callable

    from torch import Tensor

    from napari_brgm.priors.linear_gaussian import LinearGaussian
    from napari_brgm.priors.stylegan2_prior import StyleGAN2Prior


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
        seen = Observation(f, observed.float(), sigma, own**-2 if uneven else None)
        likelihood = Likelihood(seen, y * observed)
        b = (f.A(127.5 * linear_prior.basis.double()) * observed / own).flatten(1)  # (K, M)
        r = ((y.double() - f.A(to_grey(linear_prior.mean.double())[None])) * observed / own).flatten()
        precision = torch.eye(len(b), dtype=torch.float64) + b @ b.T / sigma**2
        mean = torch.linalg.solve(precision, b @ r / sigma**2)
        settings = preset("default").but(**{"start": "mean", **changes})
        return Exact(Posterior(linear_prior, likelihood, settings), mean, precision)

    return build


@pytest.fixture(scope="session")
def distant(random_stylegan2: StyleGAN2Prior) -> Callable[..., Posterior]:
    """``build(**settings)``: a posterior whose answer is a draw of a curved prior, far from its mean."""

    def build(**changes: Any) -> Posterior:
        image = to_grey(random_stylegan2.sample(1, seed=4))
        likelihood = Likelihood(all_measured(Identity(), image, 40.0), image)
        settings = preset("default").but(
            **{"start": "mean", "optimiser": "adam", "steps": 40, "learning_rate": 0.1, **changes}
        )
        return Posterior(random_stylegan2, likelihood, settings)

    return build


@pytest.fixture(scope="session")
def collect() -> Callable[..., tuple[list[tuple[Any, Tensor | None]], Any]]:
    """``collect(inference, *arguments, done, total, **options)``: its steps with their images, and what it returned.

    ``done`` steps of others came before, of ``total``.
    """

    def run(inference: Callable[..., Any], *arguments: Any, done: int = 0, total: int = 0, **options: Any) -> Any:
        told: list[tuple[Any, Tensor | None]] = []
        seen: dict[int, Tensor] = {}

        def look(number: int, images: Tensor) -> tuple[()]:
            seen[number] = images
            return ()

        def tell(step: Any) -> None:
            told.append((step, seen.get(step.iteration)))

        progress = Progress(tell, total, look)
        progress.skip(done)
        found = inference(*arguments, progress, **options)
        return told, found

    return run
