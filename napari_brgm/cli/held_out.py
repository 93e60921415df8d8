"""What the commands of ``evaluate`` share: where the validation sets lie, and lists of names."""

from __future__ import annotations

from pathlib import Path

__all__ = ["data_folder", "names"]

_DATA = (Path("data"), Path("../shared/data"))


def data_folder(given: Path | None) -> Path:
    """The folder that was given, else the first of the usual ones that is there."""
    return next((place for place in _DATA if place.is_dir()), _DATA[0]) if given is None else given


def names(text: str) -> tuple[str, ...]:
    """Names that commas part."""
    return tuple(name.strip() for name in text.split(",") if name.strip())
