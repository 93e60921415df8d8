"""Folders of cases whose methods are told by their grey level."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest

from napari_brgm.evaluation.choosing import write_case
from napari_brgm.evaluation.choosing.study import ChoiceStudy

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


@pytest.fixture
def cases(tmp_path) -> Callable[..., Path]:
    """``cases(count)``: the truth is 10, methods alpha, beta and gamma are 50, 100 and 150; two cases a subject."""

    def write(count: int, methods=("alpha", "beta", "gamma")) -> Path:
        flat = np.ones((8, 8))
        for i in range(count):
            given = {name: 50 * flat * (k + 1) for k, name in enumerate(methods)}
            write_case(
                tmp_path / "cases", f"case-{i:02d}", 10 * flat, 10 * flat, given, task=("hole", "x4")[i % 2],
                subject=str(i // 2),
            )  # fmt: skip
        return tmp_path / "cases"

    return write


@pytest.fixture
def study(tmp_path, cases) -> ChoiceStudy:
    """Twelve of fourteen cases."""
    return ChoiceStudy.begin(tmp_path / "study", cases(14), 12, 3)
