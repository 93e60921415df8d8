"""The manifest must name things that exist, under the distribution's name."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml
from npe2 import PluginManifest

import napari_brgm

PACKAGE = Path(napari_brgm.__file__).parent


@pytest.fixture(scope="module")
def manifest() -> PluginManifest:
    return PluginManifest.from_file(PACKAGE / "napari.yaml")


def test_every_command_is_there(manifest: PluginManifest) -> None:
    manifest.validate_imports()
    assert all(
        callable(command.python_name and _load(command.python_name)) for command in manifest.contributions.commands
    )


def test_it_is_installed_under_the_distribution_name(manifest: PluginManifest) -> None:
    assert PluginManifest.from_distribution("napari-brgm") == manifest
    assert {widget.display_name for widget in manifest.contributions.widgets} == {
        "In-paint",
        "Super-resolve",
        "Clean up",
        "Explore prior",
        "Uncertainty",
        "Save with provenance",
        "Open from an archive",
        "Send to an archive",
        "Weights",
        "Train a prior",
        "Batch",
    }


def test_preferences_offer_what_the_widgets_know(manifest: PluginManifest) -> None:
    from napari_brgm.plugin.preferences import Preferences
    from napari_brgm.settings import QUALITIES

    properties = manifest.contributions.configurations["restoration"].properties
    assert set(properties["quality"].enum) == set(QUALITIES)
    assert Preferences() == Preferences(device=properties["device"].default, quality=properties["quality"].default)


def test_each_widget_stands_in_one_menu(manifest: PluginManifest) -> None:
    """That which napari makes itself, Plugins > napari-brgm: an entry of another menu is the same dock once more."""
    assert not manifest.contributions.menus
    commands = [widget.command for widget in manifest.contributions.widgets]
    assert len(commands) == len(set(commands))


def test_the_link_at_the_top_is_the_same_file() -> None:
    link = PACKAGE.parent / "napari.yaml"
    if not link.exists():
        pytest.skip("installed without the repository")
    assert yaml.safe_load(link.read_text()) == yaml.safe_load((PACKAGE / "napari.yaml").read_text())


def _load(python_name: str) -> object:
    from importlib import import_module

    module, name = python_name.split(":")
    return getattr(import_module(module), name)
