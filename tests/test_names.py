"""A name means one thing: nobody who reads `Progress` should have to look up which one it is."""

from __future__ import annotations

import ast
from collections import defaultdict
from pathlib import Path

import napari_brgm

_OF_THE_RECIPES = "Report"  # training/recipe.py: what tells a person; a class of evaluation too


def test_classes_and_aliases_have_names_of_their_own() -> None:
    """Classes of one name, and types that are called like a class."""
    root = Path(napari_brgm.__file__).parent
    places: dict[str, list[str]] = defaultdict(list)  # of classes
    aliases: dict[str, list[str]] = defaultdict(list)
    for file in sorted(root.rglob("*.py")):
        where = str(file.relative_to(root))
        for node in ast.walk(ast.parse(file.read_text("utf-8"))):
            if isinstance(node, ast.ClassDef) and node.name[0] != "_":
                places[node.name].append(where)
            elif isinstance(node, ast.Assign):
                named = [one.id for one in node.targets if isinstance(one, ast.Name)]
                for name in (name for name in named if name[0].isupper() and not name.isupper()):
                    aliases[name].append(where)
    assert {name: found for name, found in places.items() if len(found) > 1} == {}
    doubled = {name: found for name, found in aliases.items() if name in places}
    assert doubled.keys() <= {_OF_THE_RECIPES}, doubled
