"""Loaded: in a process of a batch, the prior of the last command serves the next one too."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from napari_brgm.scans.fingerprint import stamp_of
from napari_brgm.zoo import registry

if TYPE_CHECKING:
    from napari_brgm.priors.prior import Prior

__all__ = ["keep_loaded", "loaded_prior"]

_LAST: dict[tuple[str, str], Prior] | None = None  # None: nothing is kept


def keep_loaded() -> None:
    """Keep the last prior from now on."""
    global _LAST
    if _LAST is None:
        _LAST = {}


def loaded_prior(name: str) -> Prior:
    """The prior of a name or file, loaded unless it was kept.

    Raises
    ------
    WeightsError
    """
    if _LAST is None:
        return registry.load_prior(name)
    key = name, str(stamp_of(Path(name)))
    if key not in _LAST:
        _LAST.clear()
        _LAST[key] = registry.load_prior(name)
    return _LAST[key]
