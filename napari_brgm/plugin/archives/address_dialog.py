"""What is asked of an archive that is put into the address book; the shell's ``archives add`` asks the same."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from magicgui.widgets import CheckBox, ComboBox, FileEdit, LineEdit, SpinBox
from qtpy.QtWidgets import QDialog, QDialogButtonBox, QVBoxLayout, QWidget

from napari_brgm.errors import BrgmError, InputError
from napari_brgm.plugin.forms import PROBLEM, form, show_row, wrapped
from napari_brgm.text import plain_text, sentence

if TYPE_CHECKING:
    from collections.abc import Collection

    from napari_brgm.pacs.address_book import Address

__all__ = ["AddressDialog"]

_WEB, _DIMSE = "DICOMweb", "DIMSE (host, port, AE title)"
_HELP = "Nothing is sent. A login for DICOMweb is taken from ~/.netrc."
_LISTEN = "Port of this machine that the archive delivers to (C-MOVE); 0: by C-GET"
_PEM = "PEM (*.pem *.crt *.cer *.key);;All files (*)"


class AddressDialog(QDialog):
    """Adds one archive.

    Attributes
    ----------
    name, url, host, title, own_title : LineEdit
    way : ComboBox
    port, listen : SpinBox
    tls : CheckBox
    authority, certificate, key : FileEdit
    add_button : QPushButton
    """

    def __init__(self, parent: QWidget, known: Collection[str]) -> None:
        from napari_brgm.pacs.address_book import OWN_TITLE

        super().__init__(parent)
        self._known = known
        self.setWindowTitle("Add an archive")
        self.setMinimumWidth(460)
        self.way = ComboBox(label="Spoken to by", choices=[_WEB, _DIMSE], tooltip="What the archive offers")
        self.name = _line("Name", "What you call it")
        self.url = _line("URL", "Such as https://pacs.example.org/dicom-web")
        self.host = _line("Host", "Such as pacs.example.org")
        self.port = SpinBox(label="Port", min=1, max=65535, value=104, tooltip="Of the archive")
        self.title = _line("AE title", "Of the archive")
        self.own_title = _line("Own AE title", "That the archive knows you by", OWN_TITLE)
        self.listen = SpinBox(label="Deliver to port", min=0, max=65535, value=0, tooltip=_LISTEN)
        self.tls = CheckBox(text="Encrypt (TLS)", tooltip="The archive has to speak TLS at this port")
        self.authority = _pem("Authority", "PEM file of who vouches for the archive; empty: whom this system trusts")
        self.certificate = _pem("Certificate", "PEM file that the archive is shown; empty: none")
        self.key = _pem("Key", "PEM file of the certificate's key")
        self._hint = wrapped("")
        self._hint.setMinimumHeight(48)
        self.buttons = QDialogButtonBox(QDialogButtonBox.StandardButton.Cancel)
        add = self.buttons.addButton("Add", QDialogButtonBox.ButtonRole.AcceptRole)
        assert add is not None  # for type checkers
        self.add_button = add
        self._fields = (
            self.name, self.way, self.url, self.host, self.port, self.title, self.own_title, self.listen, self.tls,
            self.authority, self.certificate, self.key,
        )  # fmt: skip
        layout = QVBoxLayout(self)
        layout.addWidget(form(*self._fields))
        layout.addWidget(self._hint)
        layout.addWidget(self.buttons)
        self.buttons.accepted.connect(self.accept)
        self.buttons.rejected.connect(self.reject)
        for field in self._fields:
            field.changed.connect(lambda _: self._check())
        self._check()

    def address(self) -> Address:
        """What was entered; InputError where it is no address."""
        from napari_brgm.pacs.address_book import Address

        files = [_path(field) for field in (self.authority, self.certificate, self.key)]
        name = self.name.value.strip()
        if self.way.value == _WEB:
            url = self.url.value.strip()
            if not url:
                raise InputError("give the URL of the archive's DICOMweb")
            return Address(name, url=url, authority=files[0], certificate=files[1], key=files[2])
        return Address(
            name, host=self.host.value.strip(), port=self.port.value, title=self.title.value.strip(),
            own_title=self.own_title.value.strip(), listen=self.listen.value, tls=self.tls.value,
            authority=files[0], certificate=files[1], key=files[2],
        )  # fmt: skip

    def _check(self) -> None:
        """Show what belongs to the way, and say what is wrong."""
        web = self.way.value == _WEB
        for field in self._fields[2:9]:
            show_row(field, (field is self.url) == web)
        problem, hint = "", _HELP
        try:
            address = self.address()
        except BrgmError as error:
            problem = str(error)
        else:
            replaced = (
                f"It takes the place of the {address.name} that is there. " if address.name in self._known else ""
            )
            hint = replaced + (_HELP if address.encrypted else "Not encrypted: others on the network can read along.")
        begun = any(field.value for field in (self.name, self.url, self.host, self.title))
        self._hint.setText(plain_text(sentence(problem) if begun and problem else hint))
        self._hint.setStyleSheet(PROBLEM if begun and problem else "")
        self.add_button.setEnabled(not problem)


def _line(label: str, tooltip: str, value: str = "") -> LineEdit:
    return LineEdit(label=label, tooltip=tooltip, value=value)


def _pem(label: str, tooltip: str) -> FileEdit:
    return FileEdit(label=label, tooltip=tooltip, filter=_PEM, nullable=True, value=None)


def _path(field: FileEdit) -> str:
    """Of a file that is there; '' for none."""
    text = str(field.value or "").strip()
    if not text or Path(text) == Path():
        return ""
    path = Path(text).expanduser().resolve()
    if not path.is_file():
        raise InputError(f"there is no file {path.name}; check the path")
    return str(path)
