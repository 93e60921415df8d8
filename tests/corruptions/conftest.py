"""Random images and masks for all operators."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest
import torch

from napari_brgm.corruptions import Mask

if TYPE_CHECKING:
    from collections.abc import Callable


@pytest.fixture(scope="session")
def normal() -> Callable[..., torch.Tensor]:
    """``normal(shape, seed)``: normal numbers, float64."""

    def draw(shape: tuple[int, ...], seed: int = 0) -> torch.Tensor:
        return torch.from_numpy(np.random.default_rng(seed).normal(size=shape))

    return draw


@pytest.fixture(scope="session")
def some_mask() -> Callable[..., Mask]:
    """``some_mask(shape, seed)``: two fifths of the pixels are missing, at random."""

    def draw(shape: tuple[int, ...], seed: int = 0) -> Mask:
        return Mask(np.random.default_rng(seed).random(shape) < 0.4)

    return draw
