"""What is imported is declared, and what is declared is used."""

from __future__ import annotations

import ast
import re
import sys
import tomllib
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
IMPORTED_AS = {
    "pillow": "PIL", "scikit-image": "skimage", "scikit-learn": "sklearn",
    "opencv-python-headless": "cv2", "pyqt6": "PyQt6",
    "efficientnet-lite-pytorch": "efficientnet_lite_pytorch", "dicomweb-client": "dicomweb_client", "pyyaml": "yaml",
}  # fmt: skip
# found by pydicom at run time, by napari's readers, or by torch where it has compiled something
NOT_IMPORTED = {"pylibjpeg", "pylibjpeg-openjpeg", "pyjpegls", "python-gdcm"}
COMES_WITH = {"triton": "torch"}


def imported() -> set[str]:
    """Top-level packages that the package imports anywhere, types included."""
    found: set[str] = set()
    for path in (ROOT / "napari_brgm").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Import):
                found |= {name.name.split(".")[0] for name in node.names}
            elif isinstance(node, ast.ImportFrom) and node.module:
                found.add(node.module.split(".")[0])
    return found - set(sys.stdlib_module_names) - {"napari_brgm", "__future__"}


def declared(*extras: str) -> set[str]:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    lines = project["dependencies"] + [line for extra in extras for line in project["optional-dependencies"][extra]]
    return {re.split(r"[<>=!\[; ]", line)[0].lower() for line in lines}


def test_what_is_imported_is_declared():
    names = declared("gui", "evaluation", "efficientnet", "pacs", "strip")
    known = {IMPORTED_AS.get(name, name) for name in names} | set(COMES_WITH)
    assert imported() <= known


def test_what_is_declared_is_used():
    names = {IMPORTED_AS.get(name, name) for name in declared() - NOT_IMPORTED}
    assert names - imported() == set()
