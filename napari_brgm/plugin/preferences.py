"""What a person chose in napari's preferences page, with the defaults of the manifest where there is none."""

from __future__ import annotations

import json
import os
from dataclasses import dataclass, fields
from typing import Any

from napari_brgm.zoo.folder import cannot_write, home, write_json

__all__ = ["Preferences", "agree_to_send", "agreed_to_send", "preferences", "use_weights_folder"]

_PLUGIN = "napari-brgm"
_HOME = "NAPARI_BRGM_HOME"  # zoo/folder.py
_AGREED = "backends.json"  # in the person's folder: addresses to which pixels may be sent


@dataclass(frozen=True, slots=True)
class Preferences:
    """Defaults of new widgets.

    Attributes
    ----------
    device, quality : str
    backend : str
        Address of a dask scheduler on whose workers runs are done; '' for this machine.
    samples : int
        Drawn from the posterior.
    level : float
        Of credible intervals, 0.5 to 0.99.
    preview : bool
        Whether a run shows its current estimate.
    weights_folder : str
        Where a person's own weights lie; '' for the usual place.
    """

    device: str = "auto"
    backend: str = ""
    quality: str = "standard"
    samples: int = 32
    level: float = 0.9
    preview: bool = True
    weights_folder: str = ""


def preferences() -> Preferences:
    """Read the preferences page; napari before 0.9 has none. A value that cannot be is taken for the default."""
    try:
        from napari.settings import get_plugin_settings

        page = get_plugin_settings(_PLUGIN).restoration
    except (ImportError, KeyError, AttributeError):
        return Preferences()
    usual = Preferences()
    values: dict[str, Any] = {}
    for field in fields(Preferences):
        value = getattr(page, field.name, None)
        kind = type(getattr(usual, field.name))
        values[field.name] = getattr(usual, field.name) if value is None else kind(value)
    values["samples"] = min(max(values["samples"], 2), 1024)
    values["level"] = min(max(values["level"], 0.5), 0.99)
    return Preferences(**values)


def use_weights_folder() -> None:
    """Let the zoo look where the preferences page says; the environment variable has the last word."""
    folder = preferences().weights_folder
    if folder and _HOME not in os.environ:
        os.environ[_HOME] = folder


def agreed_to_send(address: str) -> bool:
    """Whether the person has agreed that pixels go to this address."""
    return address in _agreed()


def agree_to_send(address: str) -> None:
    """Remember that the person has agreed.

    Raises
    ------
    OutputError
        The person's folder cannot be written.
    """
    try:
        write_json(home() / _AGREED, sorted({*_agreed(), address}))
    except OSError as error:
        raise cannot_write(home(), error) from error


def _agreed() -> list[str]:
    try:
        found: Any = json.loads((home() / _AGREED).read_text("utf-8"))
    except (OSError, ValueError):
        return []
    return [one for one in found if isinstance(one, str)] if isinstance(found, list) else []
