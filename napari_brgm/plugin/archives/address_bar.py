"""Which archive: one of the address book, where it is, and buttons to put one in or take one out."""

from __future__ import annotations

from typing import TYPE_CHECKING

from magicgui.widgets import ComboBox
from qtpy.QtWidgets import QHBoxLayout, QMessageBox, QPushButton, QVBoxLayout, QWidget

from napari_brgm.errors import BrgmError, InputError
from napari_brgm.plugin.forms import PROBLEM, form, wrapped
from napari_brgm.text import plain_text

if TYPE_CHECKING:
    from collections.abc import Callable

    from qtpy.QtGui import QShowEvent

    from napari_brgm.pacs.address_book import Address

__all__ = ["AddressBar"]

_NONE = "No archive is known yet: add yours, as its administrators name it."
_OPEN = "Not encrypted: others on the network can read what goes to and from it."


class AddressBar(QWidget):
    """The address book is the shell's too (``napari-brgm archives``); it is read whenever this is shown.

    Attributes
    ----------
    choice : ComboBox
        Name of an archive, or None.
    add_button, remove_button : QPushButton
    where : QLabel
    """

    def __init__(self) -> None:
        super().__init__()
        self._book: dict[str, Address] = {}
        self.choice = ComboBox(label="Archive", choices=[], tooltip="An archive of the address book")
        self.add_button, self.remove_button = QPushButton("Add..."), QPushButton("Remove")
        self.add_button.setToolTip("Put an archive into the address book; nothing is sent")
        self.remove_button.setToolTip("Take this archive out of the address book; nothing is sent")
        self.where = wrapped("")
        buttons = QHBoxLayout()
        for button in (self.add_button, self.remove_button):
            buttons.addWidget(button)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addWidget(form(self.choice))
        layout.addWidget(self.where)
        layout.addLayout(buttons)
        self.choice.changed.connect(lambda _: self._show())
        self.add_button.clicked.connect(lambda: self.add())
        self.remove_button.clicked.connect(lambda: self.remove())
        self.read()

    @property
    def address(self) -> Address:
        """The one that is chosen; InputError where there is none."""
        if self.choice.value not in self._book:
            raise InputError("no archive is chosen; add one to the address book")
        return self._book[self.choice.value]

    def read(self, chosen: str | None = None) -> None:
        """Read the book again; ``chosen`` is the name of the one to choose."""
        from napari_brgm.pacs.address_book import addresses

        try:
            self._book = addresses()
        except BrgmError as error:
            self._say(str(error), bad=True)
            return
        self.choice.choices = list(self._book)
        if chosen in self._book:
            self.choice.value = chosen
        self._show()

    def add(self) -> None:
        """Ask for an archive and put it into the book."""
        from napari_brgm.pacs.address_book import add_address
        from napari_brgm.plugin.archives.address_dialog import AddressDialog

        dialog = AddressDialog(self, self._book)
        if dialog.exec():
            self._change(lambda: add_address(dialog.address()), dialog.name.value.strip())
        dialog.deleteLater()

    def remove(self) -> None:
        """Take the chosen one out, after the person agreed."""
        from napari_brgm.pacs.address_book import remove_address

        name = self.choice.value
        if name in self._book and self._agrees(name):
            self._change(lambda: remove_address(name), None)

    def showEvent(self, event: QShowEvent | None) -> None:
        """What the shell or the other dock has changed is there."""
        super().showEvent(event)
        self.read(self.choice.value)

    def _change(self, verb: Callable[[], None], chosen: str | None) -> None:
        try:
            verb()
        except BrgmError as error:
            self._say(str(error), bad=True)
        else:
            self.read(chosen)

    def _agrees(self, name: str) -> bool:
        yes, no = QMessageBox.StandardButton.Yes, QMessageBox.StandardButton.No
        question = f"Remove {plain_text(name)} from the address book?"
        return QMessageBox.question(self, "napari-brgm", question, yes | no, no) == yes

    def _show(self) -> None:
        address = self._book.get(self.choice.value)
        self.remove_button.setEnabled(address is not None)
        if address is None:
            self._say(_NONE)
        else:
            self._say(address.where if address.encrypted else f"{address.where}. {_OPEN}")

    def _say(self, text: str, *, bad: bool = False) -> None:
        self.where.setText(plain_text(text))
        self.where.setStyleSheet(PROBLEM if bad else "")
