"""A slice that the 24 px prior can draw, with a hole, in units of its own; heads that have a top and a bottom."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np
import pytest
import torch

from napari_brgm.corruptions import Frame
from napari_brgm.inference import step
from napari_brgm.priors.linear_gaussian import LinearGaussian
from napari_brgm.priors.prior import PriorInfo
from napari_brgm.priors.residual_field import ResidualField
from napari_brgm.priors.stack_field import StackField
from napari_brgm.priors.through_plane import FREQUENCIES, ThroughPlane
from napari_brgm.settings import InferenceSettings, preset

if TYPE_CHECKING:
    from collections.abc import Callable

    import numpy.typing as npt


@pytest.fixture(autouse=True)
def each_step_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Steps are told again where they take long, which a slow machine would make of any."""
    monkeypatch.setattr(step, "_SILENCE", math.inf)


@pytest.fixture(scope="session")
def scan(linear_prior: LinearGaussian) -> npt.NDArray[np.float64]:
    """(24, 24), from 0 to about 1000."""
    grey = (linear_prior.sample(1, seed=21)[0, 0].double().numpy() + 1) * 127.5
    return 4 * np.clip(grey, 0, None)


@pytest.fixture(scope="session")
def drawn(linear_prior: LinearGaussian) -> npt.NDArray[np.float64]:
    """(24, 24) grey levels that the 24 px prior can draw."""
    grey: npt.NDArray[np.float64] = (linear_prior.sample(1, seed=3)[0, 0].double().numpy() + 1) * 127.5
    return np.clip(grey, 0, 255)


@pytest.fixture(scope="session")
def hole() -> npt.NDArray[np.bool_]:
    missing = np.zeros((24, 24), dtype=bool)
    missing[7:14, 9:17] = True
    return missing


@pytest.fixture(scope="session")
def quick() -> InferenceSettings:
    return preset("default").but(steps=2, vi_steps=None)


@pytest.fixture(scope="session")
def upright_images(smooth_images: Callable[..., torch.Tensor]) -> Callable[..., torch.Tensor]:
    """``draw(n, size, seed)``: smooth heads (n, 1, size, size) in [-1, 1], narrow and bright at the top."""

    def draw(n: int, size: int, seed: int = 0) -> torch.Tensor:
        axis = torch.linspace(-1, 1, size)
        row, column = axis[:, None], axis[None]

        def spot(down: float, right: float, width: float) -> torch.Tensor:
            return torch.exp(-((row - down).square() + (column - right).square()) / (2 * width**2))

        egg = torch.sigmoid(12 * (0.8 - (row.square() + (column / (0.8 + 0.2 * row)).square()).sqrt()))
        face = egg * (1.0 + 0.5 * spot(-0.4, 0.0, 0.15) - 0.6 * spot(0.2, -0.2, 0.12) - 0.6 * spot(0.2, 0.2, 0.12))
        return (face + 0.25 * egg * smooth_images(n, size, seed) - 0.9).clamp(-1, 1)

    return draw


@pytest.fixture(scope="session")
def upright_prior(upright_images: Callable[..., torch.Tensor]) -> LinearGaussian:
    """Probabilistic PCA of 64 px heads that have a top and a bottom."""
    info = PriorInfo("upright-64", modality="MR", plane="axial", spacing_mm=1.5, representation_sigma=6.0)
    return LinearGaussian.fit(upright_images(80, 64), 20, info)


@pytest.fixture(scope="session")
def head(upright_images: Callable[..., torch.Tensor]) -> npt.NDArray[np.float64]:
    """(64, 64) grey levels of a head as the 64 px prior knows it, and not one that it was made from."""
    grey: npt.NDArray[np.float64] = (upright_images(1, 64, seed=9)[0, 0].double().numpy() + 1) * 127.5
    return np.clip(grey, 0, None)


@pytest.fixture(scope="session")
def disc_scan(linear_prior: LinearGaussian) -> tuple[torch.Tensor, torch.Tensor]:
    """What the 24 px prior draws, at pixels of half the size: (observed, seen), (1, 1, 48, 48) each."""
    frame = Frame((48, 48), 24, (0.5, 0.5), (23.5, 23.5), (12.4, 11.0), 8.0)
    grey = frame.A((linear_prior.sample(1, seed=4) + 1) * 127.5)
    return grey, torch.ones(1, 1, 48, 48)


@pytest.fixture(scope="session")
def stack_prior(
    smooth_images: Callable[..., torch.Tensor], with_parts: Callable[..., LinearGaussian]
) -> LinearGaussian:
    """Heads of 24 px with a residual field, whose slices belong together over 3 to 12 mm, their grain over 2."""
    info = PriorInfo("stack-24", modality="MR", plane="axial", spacing_mm=1.5, representation_sigma=6.0)
    images = 0.35 * smooth_images(80, 24, seed=4)
    plain = LinearGaussian.fit(images, 10, info)
    at = torch.arange(24) - 11.5
    std = 6 * torch.exp(-(at[:, None].square() + at.square()) / 400) + 2
    side = torch.fft.fftfreq(40) * 40
    field = ResidualField(std, torch.exp(-(side[:, None].square() + side.square()).sqrt() / 1.5))
    lags = torch.arange(30, dtype=torch.float64)

    def gaussians(lengths: torch.Tensor) -> torch.Tensor:
        return torch.exp(-lags.square() / (2 * lengths[:, None] ** 2))

    through = ThroughPlane.fit(
        gaussians(torch.linspace(12, 3, 10)), gaussians(torch.linspace(5, 2, len(FREQUENCIES))), lag_mm=1.0
    )
    return with_parts(plain, residual=field, through=through)


@pytest.fixture(scope="session")
def stack_of(stack_prior: LinearGaussian) -> Callable[..., npt.NDArray[np.float32]]:
    """``stack_of(n, seed, mm)``: n slices (n, 24, 24) that the prior of stacks draws, grey levels."""
    line, through, residual = stack_prior.parts.line, stack_prior.parts.through, stack_prior.parts.residual
    assert line is not None and through is not None and residual is not None

    def draw(n: int, seed: int = 0, mm: float = 1.0) -> npt.NDArray[np.float32]:
        generator, places = torch.Generator().manual_seed(seed), mm * torch.arange(n)
        factor = torch.linalg.cholesky(through.of_latents(places)).float()
        latents = torch.einsum("kij,jk->ik", factor, torch.randn(n, len(factor), generator=generator))
        images = (line.whitened.synthesize(latents[:, None])[:, 0] + 1) * 127.5
        drawn = images + StackField(residual, through.of_residual(places)).sample(1, generator)[0]
        found: npt.NDArray[np.float32] = drawn.clamp(0, 255).numpy()
        return found

    return draw
