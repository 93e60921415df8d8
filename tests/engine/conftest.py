"""A slice that the 24 px prior can draw, with a hole, in units of its own; heads that have a top and a bottom."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest
import torch

from napari_brgm.priors.linear_gaussian import LinearGaussian
from napari_brgm.priors.prior import PriorInfo
from napari_brgm.settings import InferenceSettings, preset

if TYPE_CHECKING:
    from collections.abc import Callable

    import numpy.typing as npt


@pytest.fixture(scope="session")
def scan(linear_prior: LinearGaussian) -> npt.NDArray[np.float64]:
    """(24, 24), from 0 to about 1000."""
    grey = (linear_prior.sample(1, seed=21)[0, 0].double().numpy() + 1) * 127.5
    return 4 * np.clip(grey, 0, None)


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
