"""What the site has beside the Markdown of docs: the notebook as a page, and the pictures of the weights.

A hook of mkdocs (`hooks` in mkdocs.yml): a plugin for notebooks would bring a kernel and a server along.
"""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

from mkdocs.structure.files import File

_ROOT = Path(__file__).parent
_DRAWN = re.compile(r"\.\./(weights/[\w-]+\.png)")  # as the repository links them


def on_files(files: Any, config: Any) -> Any:
    """Add the pictures of model cards, and each notebook as Markdown in its own place."""
    for picture in sorted(_ROOT.glob("weights/*.png")):
        files.append(File.generated(config, f"weights/{picture.name}", abs_src_path=str(picture)))
    for notebook in [file for file in files if file.src_uri.endswith(".ipynb")]:
        files.remove(notebook)
        files.append(File.generated(config, _page(notebook.src_uri), content=as_markdown(notebook.content_string)))
    return files


def on_page_markdown(markdown: str, **_: Any) -> str:
    """Let links lead to what `on_files` added."""
    return re.sub(r"\]\(([\w-]+\.ipynb)", lambda link: f"]({_page(link[1])}", _DRAWN.sub(r"\1", markdown))


def as_markdown(notebook: str) -> str:
    """Text as it is, code in fences; outputs are left out."""
    cells = json.loads(notebook)["cells"]
    texts = (("".join(cell["source"]), cell["cell_type"]) for cell in cells)
    return "\n\n".join(text if kind == "markdown" else f"```python\n{text}\n```" for text, kind in texts)


def _page(notebook: str) -> str:
    return notebook.removesuffix(".ipynb") + ".md"
