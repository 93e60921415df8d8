"""TLS towards an archive: who vouches for it, and what we show it."""

from __future__ import annotations

import ssl
from typing import TYPE_CHECKING

from napari_brgm.errors import ArchiveError

if TYPE_CHECKING:
    from napari_brgm.pacs.address_book import Address

__all__ = ["client_context", "server_context"]


def client_context(address: Address) -> ssl.SSLContext:
    """To connect: the archive's certificate is checked, its name too. ArchiveError: a PEM file cannot be used."""
    try:
        context = ssl.create_default_context(cafile=address.authority or None)
        if address.certificate:
            context.load_cert_chain(address.certificate, address.key or None)
    except (OSError, ValueError) as error:
        raise _unusable(address) from error
    return context


def server_context(address: Address) -> ssl.SSLContext:
    """To be delivered to (C-MOVE): the archive has to show a certificate too."""
    try:
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH, cafile=address.authority or None)
        context.verify_mode = ssl.CERT_REQUIRED
        context.load_cert_chain(address.certificate, address.key or None)
    except (OSError, ValueError) as error:
        raise _unusable(address) from error
    return context


def _unusable(address: Address) -> ArchiveError:
    return ArchiveError(f"a certificate or key of the archive {address.name} cannot be read; check the PEM files")
