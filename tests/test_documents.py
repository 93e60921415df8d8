"""What the documents point at is there: files, headings, pages of the site, names of the method and of Python."""

from __future__ import annotations

import re
from importlib import import_module
from pathlib import Path

import pytest
import yaml
from typer.main import get_command

import napari_brgm
from napari_brgm.cli import app
from napari_brgm.evaluation.grid.catalogue import METHODS

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


def commands(page: Path) -> list[str]:
    """Calls of napari-brgm in its code, each one on a line of its own."""
    found = []
    for code in _CODE.findall(page.read_text("utf-8")):
        for line in re.sub(r"\\\n|\n(?= *--)", " ", code.strip("`")).splitlines():
            found += re.findall(r"^(?:shell|OMP_NUM_THREADS=1)? *napari-brgm ([a-z].*)", line.split("#")[0])
    return found


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_commands_and_their_options_are_those_of_the_shell(page):
    shell = get_command(app)
    tasks = [shell.commands[name] for name in ("inpaint", "superres", "clean")]
    for line in commands(page):
        command, words = shell, re.findall(r"(?<!\S)\[?([\w-]+)", line)
        while words and isinstance(getattr(command, "commands", None), dict) and words[0] in command.commands:
            command = command.commands[words.pop(0)]
        assert command is not shell, f"there is no command of {line!r}"
        if command.name == "bids":
            continue  # its options are not of this parser: tests/cli/test_bids.py
        spoken = [command, *(tasks if command.name == "batch" else [])]  # which ends in the command of a task
        known = {option for one in spoken for param in one.params for option in [*param.opts, *param.secondary_opts]}
        missing = {word for word in words if word.startswith("--")} - known - {"--help"}
        assert not missing, f"{sorted(missing)} of {line!r}"
        if command.name == "evaluate":
            named = re.findall(r"--methods (\S+)", line)
            assert {method for names in named for method in names.split(",")} <= set(METHODS)


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
