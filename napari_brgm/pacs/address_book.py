"""The address book: archives by name, in ``archives.json`` of the person's folder. It holds no passwords.

A login for DICOMweb is taken from ~/.netrc, where curl has it too; a certificate's key from its own file.
"""

from __future__ import annotations

import json
import re
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from napari_brgm.errors import ArchiveError, InputError
from napari_brgm.scans.staging import PRIVATE_FILE
from napari_brgm.text import plain_text
from napari_brgm.zoo.folder import cannot_write, home, write_json

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["OWN_TITLE", "Address", "add_address", "address_of", "addresses", "book_file", "remove_address"]

OWN_TITLE = "NAPARI-BRGM"
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
_TITLE = re.compile(r"[ -\[\]-~]{1,16}")  # of DIMSE: 16 characters, no backslash
_LOCAL = ("localhost", "127.0.0.1", "::1")


@dataclass(frozen=True, slots=True)
class Address:
    """How an archive is spoken to: by DICOMweb where it has a ``url``, else by DIMSE.

    Attributes
    ----------
    name : str
        What a person calls it.
    url : str
        Of DICOMweb, with https or http.
    host, title : str
        Of DIMSE: where it is, and its AE title.
    port : int
    own_title : str
        AE title that the archive knows us by.
    listen : int
        Port on which the archive delivers (C-MOVE); 0: on the connection that asks (C-GET).
    tls : bool
        Whether DIMSE is encrypted.
    authority, certificate, key : str
        PEM files: who vouches for the archive ('': who this system trusts), and what we show it ('': nothing).

    Raises
    ------
    InputError
        It is no address.
    """

    name: str
    url: str = ""
    host: str = ""
    port: int = 0
    title: str = ""
    own_title: str = OWN_TITLE
    listen: int = 0
    tls: bool = False
    authority: str = ""
    certificate: str = ""
    key: str = ""

    def __post_init__(self) -> None:
        if not _NAME.fullmatch(self.name):
            raise InputError("the name of an archive has letters, digits, dots, dashes and underscores only")
        if self.url:
            parts = urlsplit(self.url)
            if parts.scheme not in ("http", "https") or not parts.hostname or parts.username or parts.password:
                raise InputError(f"the url of '{self.name}' must begin with https:// or http:// and hold no login")
            return
        if not self.host or not 0 < self.port < 65536 or not 0 <= self.listen < 65536:
            raise InputError(f"'{self.name}' needs either a url, or a host and a port between 1 and 65535")
        if not all(_TITLE.fullmatch(title) and title.strip() for title in (self.title, self.own_title)):
            raise InputError(f"the AE titles of '{self.name}' must have 1 to 16 characters")

    @property
    def where(self) -> str:
        """For a person: where it is."""
        return self.url or f"{self.title}@{self.host}:{self.port}"

    @property
    def encrypted(self) -> bool:
        """Whether others on the way cannot read along; always, on this very machine."""
        host = urlsplit(self.url).hostname if self.url else self.host
        return host in _LOCAL or (self.url.startswith("https://") if self.url else self.tls)


def book_file() -> Path:
    """The address book, there or not."""
    return home() / "archives.json"


def addresses() -> dict[str, Address]:
    """All archives by name.

    Raises
    ------
    ArchiveError
        The book cannot be read.
    """
    file = book_file()
    try:
        found = json.loads(file.read_text("utf-8"))
        return {str(entry["name"]): _address(entry) for entry in found["archives"]}
    except FileNotFoundError:
        return {}
    except (OSError, ValueError, KeyError, TypeError, RecursionError) as error:
        raise ArchiveError(f"the address book {plain_text(file)} cannot be read; mend or remove it") from error


def address_of(name: str) -> Address:
    """One archive; ArchiveError: there is none of this name, or as ``addresses``."""
    book = addresses()
    if name not in book:
        known = f"there are {', '.join(sorted(book))}" if book else "there are none yet; add one with `archives add`"
        raise ArchiveError(f"there is no archive {plain_text(name)} in the address book; {known}")
    return book[name]


def add_address(address: Address) -> None:
    """Put an archive into the book, in place of one of its name; OutputError, ArchiveError."""
    _write(addresses() | {address.name: address})


def remove_address(name: str) -> None:
    """Take an archive out of the book; OutputError, ArchiveError."""
    address_of(name)
    _write({other: one for other, one in addresses().items() if other != name})


def _address(entry: dict[str, Any]) -> Address:
    texts = ("url", "host", "title", "authority", "certificate", "key")
    return Address(
        name=str(entry["name"]),
        own_title=str(entry.get("own_title", OWN_TITLE)),
        port=int(entry.get("port", 0)),
        listen=int(entry.get("listen", 0)),
        tls=bool(entry.get("tls", False)),
        **{key: str(entry.get(key, "")) for key in texts},
    )


def _write(book: dict[str, Address]) -> None:
    file = book_file()
    try:
        write_json(file, {"archives": [asdict(one) for one in book.values()]})
        file.chmod(PRIVATE_FILE)
    except OSError as error:
        raise cannot_write(file.parent, error) from error
