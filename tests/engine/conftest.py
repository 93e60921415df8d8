"""A slice that the 24 px prior can draw, with a hole, in units of its own."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest

from napari_brgm.settings import InferenceSettings, preset

if TYPE_CHECKING:
    import numpy.typing as npt

    from napari_brgm.priors.linear_gaussian import LinearGaussian


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
    return preset("default").but(steps=2)
