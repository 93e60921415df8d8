"""Loaded: the prior of the last command of this process, for the next one; a batch runs many."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from napari_brgm.scans.fingerprint import stamp_of
from napari_brgm.zoo.registry import load_prior

if TYPE_CHECKING:
    from napari_brgm.priors.prior import Prior

__all__ = ["loaded_prior"]

_LAST: dict[tuple[str, str], Prior] = {}


def loaded_prior(name: str) -> Prior:
    """The prior of a name or file, loaded unless the last one was the same.

    Raises
    ------
    WeightsError
    """
    key: Any = name, str(stamp_of(Path(name)))
    if key not in _LAST:
        _LAST.clear()
        _LAST[key] = load_prior(name)
    return _LAST[key]
