"""The field 'Backend': this machine, or the address of a scheduler whose workers restore; and what that means."""

from __future__ import annotations

from html import escape
from typing import TYPE_CHECKING

from magicgui.widgets import LineEdit
from qtpy.QtCore import Qt
from qtpy.QtWidgets import QLineEdit, QMessageBox

from napari_brgm.errors import InputError
from napari_brgm.plugin.forms import wrapped
from napari_brgm.plugin.preferences import agree_to_send, agreed_to_send, preferences
from napari_brgm.remote.scheduler import checked_address, dask_distributed
from napari_brgm.text import plain_text

if TYPE_CHECKING:
    from qtpy.QtWidgets import QWidget

__all__ = ["BackendBox", "agrees_to_send"]

_HERE = "this machine"
_TOOLTIP = (
    "Where runs are done: empty for this machine, or the address of a dask scheduler, such as tcp://head:8786, whose "
    "workers have napari-brgm and the same priors"
)


class BackendBox(LineEdit):
    """An address, or nothing.

    Attributes
    ----------
    line : QLabel
        Says where runs go, and that the pixels leave this machine.
    """

    def __init__(self) -> None:
        super().__init__(label="Backend", value=preferences().backend, tooltip=_TOOLTIP)
        if isinstance(self.native, QLineEdit):
            self.native.setPlaceholderText(_HERE)
        self.line = wrapped("", "font-style: italic;")
        self.changed.connect(self._say)
        self._say()

    @property
    def given(self) -> str:
        """What stands in the field; '' for this machine."""
        return str(self.value or "").strip()

    @property
    def where(self) -> str:
        """Where a run goes, or why it cannot, as a sentence; '' for this machine."""
        if not self.given:
            return ""
        try:
            return f"Runs go to {checked_address(self.given)}: the pixels leave this machine."
        except InputError as error:
            return f"{str(error)[:1].upper()}{str(error)[1:]}."

    def address(self, parent: QWidget) -> str | None:
        """The address that a run goes to, '' for this machine; None: the person was asked, and does not agree.

        Raises
        ------
        InputError
            It is no address, or dask is not installed.
        """
        if not self.given:
            return ""
        found = checked_address(self.given)
        dask_distributed()
        if not agreed_to_send(found):
            if not agrees_to_send(parent, found):
                return None
            agree_to_send(found)
        return found

    def _say(self, event: object = None) -> None:
        self.line.setText(self.where or f"Runs are done on {_HERE}.")


def agrees_to_send(parent: QWidget, address: str) -> bool:
    """Ask whether pixels may go there; 'no' is the default."""
    title = f"<h3>Send pixels to {escape(plain_text(address))}?</h3>"
    box = QMessageBox(QMessageBox.Icon.Question, "napari-brgm", title, parent=parent)
    box.setTextFormat(Qt.TextFormat.RichText)
    encrypted = "" if address.startswith(("tls://", "wss://")) else " They are <b>not encrypted</b> on their way."
    box.setInformativeText(
        "The slices of this run, their masks and near neighbours leave this machine, without names or headers; "
        f"results come back.{encrypted} Whoever runs this server can read them, and can run programs on this machine. "
        "It is asked once for each address."
    )
    box.setStandardButtons(QMessageBox.StandardButton.Yes | QMessageBox.StandardButton.No)
    box.setDefaultButton(QMessageBox.StandardButton.No)
    return bool(box.exec() == QMessageBox.StandardButton.Yes)
