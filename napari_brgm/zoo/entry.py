"""Registry entry: what is known of a prior before its file is opened."""

from __future__ import annotations

import re
from dataclasses import asdict, dataclass, fields, replace
from enum import StrEnum
from math import inf
from typing import Any, Self

from napari_brgm.calibration import Calibration
from napari_brgm.errors import InputError, WeightsError
from napari_brgm.settings import PRESETS

__all__ = ["Kind", "PriorEntry", "checked_name"]

_NAME = re.compile(r"[a-z0-9][a-z0-9_-]{0,63}")
_SHA256 = re.compile(r"[0-9a-f]{64}")


class Kind(StrEnum):
    """Where a prior comes from."""

    shipped = "shipped"
    published = "published"
    installed = "installed"
    builtin = "builtin"


@dataclass(frozen=True, slots=True)
class PriorEntry:
    """One prior of the registry.

    Attributes
    ----------
    name : str
        Small letters, digits, '-' and '_'; what ``load_prior`` takes.
    kind : Kind
    title, modality, plane : str
    resolution, channels : int
        Pixels of a side, colours; 0 if unknown.
    rotation : int
        Degrees, 0 or 180, by which its images are turned against the way radiologists look at such a plane.
    spacing_mm : float
        Pixel size of the prior's frame; 0 if unknown, or if it takes images whatever their pixels.
    misfit_limit : float
        Above it a scan is unlike those that the prior was tried on (engine/misfit.py); 0 if unknown.
    suspect_limit : float
        Above it the prior cannot explain a pixel (engine/suspects.py); 0 if unknown.
    calibration : Calibration or None
        Conformal factors of the prior's intervals; None if they were not measured.
    format : str
        Of ``file``: 'ours', 'pytorch', 'tensorflow' or 'rosinality'; of what was imported, in the reader's words
        (``PublishedNetwork.format``).
    file : str
        Name of the weights file, without folder: as shipped, as installed, or as published.
    size : int or None
        Bytes of ``file``; None if nobody has published it.
    sha256 : str or None
        Of ``file``; None if nobody has published it.
    licence, citation : str
    source : str
        Where it comes from, for a person: an address, or the name of the page to look for.
    download : str or None
        Direct https address of ``file``; None where only the page is known.
    card : str
        Name of the model card beside the file; empty if there is none.
    original_sha256, when : str
        Of what was imported, and the UTC time of it (ISO 8601); empty for what ships.
    family : str
        Of zoo/families; empty if unknown.
    preset : str
        Name of the settings that suit it (settings.py); empty if unknown.
    rank : int
        Of priors that suit a scan alike, the one of the lowest rank is offered first.
    """

    name: str
    kind: Kind
    title: str = ""
    modality: str = ""
    plane: str = ""
    resolution: int = 0
    channels: int = 1
    rotation: int = 0
    spacing_mm: float = 0.0
    misfit_limit: float = 0.0
    suspect_limit: float = 0.0
    calibration: Calibration | None = None
    format: str = "ours"
    file: str = ""
    size: int | None = None
    sha256: str | None = None
    licence: str = ""
    citation: str = ""
    source: str = ""
    download: str | None = None
    card: str = ""
    original_sha256: str = ""
    when: str = ""
    family: str = ""
    preset: str = ""
    rank: int = 0

    @classmethod
    def from_json(cls, name: str, kind: Kind, record: Any) -> Self:
        """Read an entry; keys that it does not know are left aside.

        Raises
        ------
        WeightsError
            The record is not one of a prior.
        """
        known = {field.name: field for field in fields(cls)}
        if not isinstance(record, dict):
            raise WeightsError(f"the entry of {name!r} in the registry is malformed: it is not a table")
        values = {k: v for k, v in record.items() if k in known and k not in ("name", "kind")}
        factors = values.pop("calibration", None)
        for key, value in values.items():
            wanted: Any = {
                "resolution": int,
                "channels": int,
                "rotation": int,
                "rank": int,
                "spacing_mm": (int, float),
                "misfit_limit": (int, float),
                "suspect_limit": (int, float),
                "size": (int, type(None)),
            }.get(key, str)
            wanted = (str, type(None)) if key in ("sha256", "download") else wanted
            if not isinstance(value, wanted) or isinstance(value, bool):
                raise WeightsError(f"the entry of {name!r} in the registry is malformed: {key!r} is {value!r}")
        if values.get("rotation", 0) not in (0, 180):
            raise WeightsError(f"the entry of {name!r} in the registry is malformed: 'rotation' is neither 0 nor 180")
        if values.get("preset", "") not in ("", *PRESETS):
            raise WeightsError(f"the entry of {name!r} in the registry is malformed: 'preset' is none of the settings")
        for key in ("spacing_mm", "misfit_limit", "suspect_limit"):
            if not 0 <= values.get(key, 0) < inf:
                raise WeightsError(f"the entry of {name!r} in the registry is malformed: {key!r} is not 0 or above")
        for key in ("file", "card"):
            if re.search(r"[/\\:]|^\.", values.get(key, "")):  # a name beside the registry, never a path out of it
                raise WeightsError(f"the entry of {name!r} in the registry is malformed: {key!r} is not a file name")
        return cls(name=name, kind=kind, calibration=None if factors is None else _factors(name, factors), **values)

    def to_json(self) -> dict[str, Any]:
        """Give the record that ``from_json`` reads, and for people the name and kind."""
        factors = None if self.calibration is None else self.calibration.to_dict()
        return asdict(replace(self, calibration=None)) | {"kind": str(self.kind), "calibration": factors}

    @property
    def hashed(self) -> bool:
        """Whether somebody has published the hash of the file."""
        return self.sha256 is not None and _SHA256.fullmatch(self.sha256) is not None


def _factors(name: str, record: Any) -> Calibration:
    try:
        return Calibration.from_dict(record)
    except WeightsError as error:
        raise WeightsError(f"the entry of {name!r} in the registry is malformed: {error}") from error


def checked_name(name: str) -> str:
    """Give ``name`` back if a prior can be called so.

    Raises
    ------
    InputError
        It holds other characters, or is too long; paths cannot get in this way.
    """
    if not _NAME.fullmatch(name):
        raise InputError(
            f"{name!r} cannot be the name of a prior; use up to 64 small letters, digits, '-' and '_', "
            "such as 'brain-coronal-256'"
        )
    return name
