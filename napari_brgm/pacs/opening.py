"""From an address to its archive."""

from __future__ import annotations

import importlib.util
from typing import TYPE_CHECKING

from napari_brgm.errors import ArchiveError

if TYPE_CHECKING:
    from napari_brgm.pacs.address_book import Address
    from napari_brgm.pacs.archive import Archive

__all__ = ["open_archive"]


def open_archive(address: Address) -> Archive:
    """Give the archive of an address; nothing is sent yet.

    Raises
    ------
    ArchiveError
        What it is spoken to by is not installed.
    """
    needed = "dicomweb_client" if address.url else "pynetdicom"
    if importlib.util.find_spec(needed) is None:
        raise ArchiveError("archives need two packages more: run pip install 'napari-brgm[pacs]'")
    if address.url:
        from napari_brgm.pacs.web import WebArchive

        return WebArchive(address)
    from napari_brgm.pacs.dimse import DimseArchive

    return DimseArchive(address)
