"""What a package says of addresses, which no file of the repository knows: asked for when it is built.

    NAPARI_BRGM_URL=https://github.com/NAME/napari-brgm python -m build

makes the links and pictures of README.md absolute, as package indexes need them, and names the project's addresses.
They are those of a repository at GitHub or GitLab. Without it relative pictures and links are text.
"""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Any

from hatchling.metadata.plugin.interface import MetadataHookInterface

VARIABLE = "NAPARI_BRGM_URL"
_FENCE = re.compile(r"(^```.*?^```$)", re.DOTALL | re.MULTILINE)
_LINK = re.compile(r"(!?)\[([^\]]*)\]\((?![a-z]+:|#)([^)\s]+)\)")


class Addresses(MetadataHookInterface):
    """Sets the fields ``readme`` and, where the address is known, ``urls``."""

    def update(self, metadata: dict[str, Any]) -> None:
        """Fill them in."""
        address = os.environ.get(VARIABLE, "").rstrip("/")
        if address and not re.fullmatch(r"https://[\w.-]+(/[\w.-]+)+", address):
            raise ValueError(
                f"{VARIABLE} is {address!r}: give the address of the repository, as https://HOST/OWNER/NAME"
            )
        text = for_package_index(Path(self.root, "README.md").read_text("utf-8"), address)
        metadata["readme"] = {"content-type": "text/markdown", "text": text}
        if address:
            metadata["urls"] = {
                "Homepage": address,
                "Documentation": f"{address}/blob/HEAD/docs/index.md",
                "Changelog": f"{address}/blob/HEAD/CHANGELOG.md",
                "Source Code": address,
                "Bug Tracker": f"{address}/issues",
            }


def for_package_index(markdown: str, address: str) -> str:
    """Make its relative links absolute, or text where there is no address; code stays."""

    def led(link: re.Match[str]) -> str:
        picture, text, path = link.groups()
        if address:
            return f"{picture}[{text}]({address}/{'raw' if picture else 'blob'}/HEAD/{path})"
        return f"*{text}*" if picture else text

    parts = _FENCE.split(markdown)
    return "".join(part if part.startswith("```") else _LINK.sub(led, part) for part in parts)
