"""A prior as it is given: by name, by path, or loaded."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING

from napari_brgm.zoo.registry import load_prior

if TYPE_CHECKING:
    from napari_brgm.priors.prior import Prior

__all__ = ["as_prior", "label_of"]


def as_prior(given: str | Path | Prior) -> Prior:
    """Load a prior by name or path; one that is loaded stays as it is."""
    return load_prior(given) if isinstance(given, str | Path) else given


def label_of(given: str | Path | Prior) -> str:
    """Name for files of what is measured of a prior."""
    name = Path(given).name.removesuffix(".safetensors") if isinstance(given, str | Path) else given.info.name
    return re.sub(r"[^\w.-]+", "-", name)
