"""What a package says of itself when it is built, with the address of its repository and without."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from hatchling.metadata.core import ProjectMetadata
from hatchling.plugin.manager import PluginManager

ROOT = Path(__file__).parents[1]
ADDRESS = "https://example.org/someone/napari-brgm"
RELATIVE = re.compile(r"\]\((?!https://)")


@pytest.fixture
def built(monkeypatch):
    def build(address: str | None):
        monkeypatch.delenv("NAPARI_BRGM_URL", raising=False)
        if address is not None:
            monkeypatch.setenv("NAPARI_BRGM_URL", address)
        return ProjectMetadata(str(ROOT), PluginManager()).core

    return build


@pytest.mark.parametrize("given", [ADDRESS, f"{ADDRESS}/"])
def test_with_an_address_pictures_and_links_are_absolute(built, given):
    core = built(given)
    assert core.urls["Homepage"] == ADDRESS
    assert core.urls["Bug Tracker"] == f"{ADDRESS}/issues"
    assert not RELATIVE.search(core.readme)
    assert f"]({ADDRESS}/raw/HEAD/docs/images/demo-inpaint.png)" in core.readme
    for kind, path in re.findall(rf"{ADDRESS}/(raw|blob)/HEAD/([^)\s]+)", core.readme):
        assert (ROOT / path).exists()
        assert (kind == "raw") == path.endswith(".png")


def test_without_one_nothing_is_invented(built):
    core = built(None)
    assert core.urls == {}
    assert not RELATIVE.search(core.readme)
    assert "*In-painting: original, corrupted, restored, standard deviation*" in core.readme
    assert "(https://arxiv.org/abs/2012.04567)" in core.readme


def test_code_stays_as_it_is(built):
    fences = re.compile(r"^```.*?^```$", re.DOTALL | re.MULTILINE)
    assert fences.findall(built(ADDRESS).readme) == fences.findall((ROOT / "README.md").read_text("utf-8"))


@pytest.mark.parametrize("address", ["github.com/someone/napari-brgm", "https://example.org", "https://a b/c"])
def test_what_is_no_address_is_refused(built, address):
    with pytest.raises(ValueError, match="NAPARI_BRGM_URL"):
        built(address)


def test_the_versions_of_python_are_those_that_are_allowed(built):
    core = built(None)
    said = {text.rsplit(" ", 1)[1] for text in core.classifiers if re.search(r":: 3\.\d+$", text)}
    assert said == {"3.11", "3.12", "3.13"}
    assert all(core.python_constraint.contains(version) for version in said)
