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
