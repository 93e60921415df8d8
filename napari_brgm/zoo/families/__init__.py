"""Families of priors: each module here holds one, as FAMILY; others are added by ``register``."""

from __future__ import annotations

from functools import cache
from importlib import import_module
from pkgutil import iter_modules
from typing import TYPE_CHECKING

from napari_brgm.errors import InputError

if TYPE_CHECKING:
    from napari_brgm.zoo.family import Family

__all__ = ["families", "family_of_format", "register"]

_ADDED: dict[str, Family] = {}


@cache
def _found() -> dict[str, Family]:
    modules = [import_module(f"{__name__}.{module.name}") for module in iter_modules(__path__)]
    return {module.FAMILY.name: module.FAMILY for module in modules}


def families() -> dict[str, Family]:
    """All families by name."""
    return _found() | _ADDED


def register(family: Family) -> None:
    """Add a family that lives elsewhere; the same one may be added again.

    Raises
    ------
    InputError
        Its name or a format is that of another one.
    """
    for other in families().values():
        if other == family:
            return
        if other.name == family.name or set(other.formats) & set(family.formats):
            raise InputError(f"the family {other.name!r} has this name or this format of files already")
    _ADDED[family.name] = family


def family_of_format(called: str) -> Family:
    """The family whose files say ``called`` of their layout; that of files which say nothing, if it is none of ours."""
    known = {name: family for family in families().values() for name in family.formats}
    return known.get(called, known[""])
