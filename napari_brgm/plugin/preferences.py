"""What a person chose in napari's preferences page, with the defaults of the manifest where there is none."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["Preferences", "preferences"]

_PLUGIN = "napari-brgm"


@dataclass(frozen=True, slots=True)
class Preferences:
    """Defaults of new widgets."""

    device: str = "auto"
    quality: str = "standard"


def preferences() -> Preferences:
    """Read the preferences page; napari before 0.9 has none."""
    try:
        from napari.settings import get_plugin_settings

        restoration = get_plugin_settings(_PLUGIN).restoration
    except (ImportError, KeyError, AttributeError):
        return Preferences()
    return Preferences(device=str(restoration.device), quality=str(restoration.quality))
