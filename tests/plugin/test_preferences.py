"""What is set in napari's preferences page must reach new widgets."""

from __future__ import annotations

from npe2 import PluginManifest

from napari_brgm.plugin.preferences import Preferences, preferences


def test_preferences_page_is_read(plugin_settings, npe2pm) -> None:
    from napari.settings import get_plugin_settings

    assert preferences() == Preferences()  # the plugin is not known here
    npe2pm.register(PluginManifest.from_distribution("napari-brgm"))
    assert preferences() == Preferences(device="auto", quality="standard")
    get_plugin_settings("napari-brgm").restoration.device = "cpu"
    get_plugin_settings("napari-brgm").restoration.quality = "careful"
    assert preferences() == Preferences(device="cpu", quality="careful")
