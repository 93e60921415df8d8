"""Whether a file is the one that others have published, and what may be said of it when that is not known.

A name is not a proof: a file that a person has brought and called by a published name is theirs until its hash is one
that was published, or that of a download from the authors' own address.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from napari_brgm.zoo.trust import fetched_before

if TYPE_CHECKING:
    from napari_brgm.zoo.entry import PriorEntry

__all__ = ["FileIdentity", "as_far_as_known", "identity_of"]


@dataclass(frozen=True, slots=True)
class FileIdentity:
    """How it is known, if it is, that a file is the published one.

    Attributes
    ----------
    known : bool
    sentence : str
        For the card.
    """

    known: bool
    sentence: str


def identity_of(listed: PriorEntry, sha256: str, fetched_from: str = "") -> FileIdentity:
    """Say of a file, whose hash has passed ``check_trusted``, whether it is that of the published entry.

    Parameters
    ----------
    fetched_from : str
        Address of the download, empty for a file that was brought by hand.
    """
    if listed.hashed:
        return FileIdentity(True, "its SHA-256 is the one that was published")
    if fetched_from:
        said = f"fetched from {fetched_from}; no SHA-256 has been published, and that of this download is recorded"
        return FileIdentity(True, said)
    if before := fetched_before(listed, sha256):
        return FileIdentity(True, f"the same file, by its SHA-256, as was fetched from {before}")
    said = f"said by whoever imported it to be {listed.name}; not verified, since no SHA-256 of it has been published"
    return FileIdentity(False, said)


def as_far_as_known(listed: PriorEntry, identity: FileIdentity, file: str) -> PriorEntry:
    """The published entry, its title, licence, source and citation as what they are for a file of this identity.

    Parameters
    ----------
    file : str
        Name of the file.
    """
    if identity.known:
        return listed
    return replace(
        listed,
        title=f"Said to be: {listed.title}; not verified",
        licence=f"not known; that of the file it is said to be: {listed.licence or 'not stated'}",
        source=f"imported from {file}; said to be the file of {listed.source}; not verified",
        citation=f"{listed.citation} (if the file is theirs; not verified)" if listed.citation else "",
    )
