"""What is said of a pixel must be what its posterior says."""

from __future__ import annotations

import numpy as np
import pytest

from napari_brgm.engine.restoration import Restoration
from napari_brgm.plugin.uncertainty.pixel import decimals_for, words

DRAWS = np.arange(1, 40, dtype=np.float32)  # mean 20


def pixel(**changes) -> Restoration:
    given = {
        "estimate": 21.0, "mean": 20.0, "variance": 11.25**2, "samples": DRAWS, "measured": False, "latents": [],
        "trace": [], "provenance": {}, "widths": None,
    } | changes  # fmt: skip
    arrays = {k: v if k in ("trace", "provenance") or v is None else np.asarray(v) for k, v in given.items()}
    return Restoration(**arrays)


def test_sentences() -> None:
    value, trust = words(pixel(estimate=612.4, variance=33.9**2), 0.9, "a.u.", 0)
    assert (value, trust) == ("estimate 612 ± 34 a.u.", "90 % interval -36 … 76 · Gaussian")
    assert words(pixel(samples=DRAWS[:0]), 0.9, "", 1) == (
        "estimate 21.0 ± 11.2",
        "90 % interval 1.5 … 38.5 · Gaussian",
    )
    calibrated = pixel(widths=np.array([1.0, 1.5, 2.0, 3.0]))
    assert words(calibrated, 0.9, "", 1)[1] == "90 % interval -2.5 … 42.5 · calibrated"
    assert words(pixel(estimate=612.4, measured=True), 0.9, "a.u.", 0)[0] == "measured: 612 a.u."
    assert words(None, 0.9, "a.u.", 0)[0] == "outside what was restored"


@pytest.mark.parametrize(("span", "digits"), [(1000, 0), (255, 1), (0.99, 3), (1e-9, 6), (0, 3), (np.nan, 3)])
def test_decimals(span: float, digits: int) -> None:
    assert decimals_for(span) == digits
