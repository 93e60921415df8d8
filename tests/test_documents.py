"""What the documents point at is there: files, headings, pages of the site, names of the method and of Python."""

from __future__ import annotations

import re
from importlib import import_module
from pathlib import Path

import pytest
import yaml

import napari_brgm

ROOT = Path(__file__).parents[1]
PAGES = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/*.md"), *ROOT.glob("weights/*.md"), *ROOT.glob("containers/*.md")])
_LINK = re.compile(r"\]\(([^)\s]+)\)")
_CODE = re.compile(r"```.*?```|`[^`\n]*`", re.DOTALL)
_HEADING = re.compile(r"^#+ (.+)$", re.MULTILINE)


def anchors(page: Path) -> set[str]:
    """Of its headings, as Markdown sites make them."""
    found = set()
    for heading in _HEADING.findall(page.read_text("utf-8")):
        plain = re.sub(r"[^\w\s-]", "", re.sub(r"[`*]", "", heading)).strip().lower()
        found.add(re.sub(r"\s", "-", plain))
    return found


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_lead_somewhere(page):
    for link in _LINK.findall(_CODE.sub("", page.read_text("utf-8"))):
        if re.match(r"[a-z]+:", link):
            continue
        path, _, anchor = link.partition("#")
        there = page.parent / path if path else page
        assert there.exists(), f"{link} is not there"
        assert not anchor or anchor in anchors(there), f"{link} has no such heading"


def test_every_page_has_its_place_in_the_site():
    def pages(part) -> list[str]:
        if isinstance(part, str):
            return [part]
        return [page for one in (part.values() if isinstance(part, dict) else part) for page in pages(one)]

    nav = pages(yaml.safe_load((ROOT / "mkdocs.yml").read_text("utf-8"))["nav"])
    there = [*(ROOT / "docs").glob("*.md"), *(ROOT / "docs").glob("*.ipynb")]  # mkdocs_site.py makes pages of notebooks
    assert sorted(nav) == sorted(f"{path.stem}.md" for path in there)


def test_the_gallery_has_every_picture():
    pictures = [*ROOT.glob("docs/images/*.png"), *ROOT.glob("weights/*.png")]
    shown = {Path(link).name for link in _LINK.findall((ROOT / "docs/gallery.md").read_text("utf-8"))}
    assert {picture.name for picture in pictures} <= shown


def test_the_reference_names_all_that_is_public():
    named = set(re.findall(r"^::: napari_brgm\.(\w+)$", (ROOT / "docs/reference.md").read_text("utf-8"), re.MULTILINE))
    assert named == set(napari_brgm.__all__) - {"__version__"}


def test_names_beside_equations_are_those_of_the_code():
    for row in (ROOT / "docs/method.md").read_text("utf-8").splitlines():
        if not row.startswith("|") or set(row) <= set("| -"):
            continue
        cell, module = re.split(r"(?<!\\)\|", row)[3], None
        for name in re.findall(r"`([\w.]+)`", cell.split(";")[0]):
            first = name.split(".")
            if module is not None and hasattr(module, first[0]):
                found, rest = getattr(module, first[0]), first[1:]
            else:
                found, rest = _module_of(name)
                module = found
            for part in rest:
                found = getattr(found, part)


def _module_of(name: str):
    """The module that a dotted name begins with, and the parts behind it; classes of the line stand by themselves."""
    if name.startswith("LinearModel"):
        name = f"priors.linear_model.{name}"
    parts = name.split(".")
    for count in range(len(parts), 0, -1):
        try:
            return import_module("napari_brgm." + ".".join(parts[:count])), parts[count:]
        except ModuleNotFoundError:
            continue
    raise AssertionError(f"{name} is nowhere")
