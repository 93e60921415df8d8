"""Names of result layers: the role first, as napari's list cuts off what comes last."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["name_of_source", "result_name", "role_in_words"]

_BETWEEN = " | "


def result_name(what: str, source: str) -> str:
    """Name of a layer that was computed from another one.

    Examples
    --------
    >>> result_name("variance", "MNI152 T1")
    'variance | MNI152 T1'
    """
    return f"{what}{_BETWEEN}{source}"


def name_of_source(name: str) -> str:
    """What a result's layer or series says that it was computed from; other names are given back.

    Examples
    --------
    >>> name_of_source("restored 2 | MNI152 T1"), name_of_source("T1 MPRAGE [restored, synthetic]"), name_of_source("a")
    ('MNI152 T1', 'T1 MPRAGE', 'a')
    """
    return re.sub(r" \[[^\]]*\]$", "", name.partition(_BETWEEN)[2] or name)


def role_in_words(record: Mapping[str, Any]) -> str:
    """Role that the record of a result tells, the end of an interval with its level.

    Examples
    --------
    >>> role_in_words({"role": "low", "level": 0.9}), role_in_words({"role": "x4"}), role_in_words({})
    ('low 90%', 'x4', 'restored')
    """
    role, level = str(record.get("role") or "restored"), record.get("level")
    return f"{role} {level:.0%}" if role in ("low", "high") and isinstance(level, float) else role
