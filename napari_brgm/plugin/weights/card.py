"""The details of a prior: its model card, or what the registry knows where there is none."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from qtpy.QtCore import Qt, QUrl
from qtpy.QtGui import QColor, QImage, QTextCharFormat, QTextDocument
from qtpy.QtWidgets import QTextBrowser

from napari_brgm.text import as_markdown

if TYPE_CHECKING:
    from pathlib import Path

    from napari_brgm.zoo.entry import PriorEntry

__all__ = ["CardView", "entry_text"]

_LONGEST = 200_000  # characters of a card
_LINK = "#5b9bd5"  # readable on dark and light
_MARGIN = 40  # pixels beside a picture


class CardView(QTextBrowser):
    """Shows a card: markdown without HTML, and pictures only from the card's own folder, never from a network."""

    def __init__(self) -> None:
        super().__init__()
        self.setOpenExternalLinks(True)
        self.setFrameShape(QTextBrowser.Shape.NoFrame)
        self.setStyleSheet("background: transparent;")
        self.setPlaceholderText("Choose a prior to read its model card.")
        self._folder: Path | None = None

    def show_entry(self, entry: PriorEntry, status: str) -> None:
        """Show the card of an entry, or what is known of it."""
        from napari_brgm.zoo.registry import card_of

        card = card_of(entry)
        text = ""
        if card is not None:
            with card.open(encoding="utf-8", errors="replace") as file:
                text = file.read(_LONGEST)
        self._folder = None if card is None else card.parent
        document, features = self.document(), QTextDocument.MarkdownFeature
        assert document is not None  # for type checkers: a browser has one
        document.clear()
        document.setMarkdown(
            as_markdown(text or entry_text(entry, status)), features.MarkdownDialectGitHub | features.MarkdownNoHTML
        )
        self._colour_links()
        self.moveCursor(self.textCursor().MoveOperation.Start)

    def _colour_links(self) -> None:
        """Make links readable on dark themes: Qt paints those of markdown in the dark blue of its default palette."""
        cursor = self.textCursor()
        cursor.movePosition(cursor.MoveOperation.Start)
        link = QTextCharFormat()
        link.setForeground(QColor(_LINK))
        while not cursor.atEnd():
            cursor.movePosition(cursor.MoveOperation.NextCharacter, cursor.MoveMode.KeepAnchor)
            if cursor.charFormat().isAnchor():
                cursor.mergeCharFormat(link)
            cursor.clearSelection()

    def loadResource(self, kind: int, name: QUrl) -> Any:
        """Pictures of the card's folder, no wider than the pane."""
        if self._folder is None or kind != QTextDocument.ResourceType.ImageResource.value or name.scheme():
            return None
        image = QImage(str(self._folder / name.fileName()))
        width = max(64, self.width() - _MARGIN)
        if image.isNull() or image.width() <= width:
            return image
        return image.scaledToWidth(width, Qt.TransformationMode.SmoothTransformation)


def entry_text(entry: PriorEntry, status: str) -> str:
    """Markdown of what the registry knows, and of how to get the weights."""
    hash_known = f"`{entry.sha256}`" if entry.hashed else "not published; recorded when you first fetch or import it"
    rows = {
        "Anatomy": ", ".join(part for part in (entry.modality, entry.plane) if part) or "not stated",
        "Image": f"{entry.resolution} x {entry.resolution}" if entry.resolution else "size not stated",
        "Format": entry.format,
        "Licence": entry.licence,
        "Source": entry.source,
        "Citation": entry.citation,
        "SHA-256": hash_known,
    }
    known = "\n".join(f"- **{key}**: {value}" for key, value in rows.items())
    how = {
        "to fetch": "Press **Fetch**: you are asked before anything is downloaded. On a machine without a connection, "
        f"get `{entry.file}` from the source below, then press **Import file...** and call it `{entry.name}`.",
        "by hand": f"No direct address is known. Get the file from *{entry.source}*, then press **Import file...** "
        f"and call it `{entry.name}`.",
        "missing": "Its file is gone: install it again.",
    }.get(status, "It has no model card.")
    return (
        f"# {entry.name}\n\n{entry.title}\n\n{how}\n\n{known}\n\n"
        "Made by others and not measured here. What a prior draws is synthetic; **not for diagnosis**.\n"
    )
