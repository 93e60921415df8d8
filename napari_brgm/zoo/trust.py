"""Trust on first use: the hash of a file that nobody has published is recorded once, and must not change after.

A download from the authors' address is recorded for downloads and for files brought by hand; a file by hand for such
files only, since nothing but a person's word says what it is.
"""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from napari_brgm.errors import WeightsError
from napari_brgm.zoo.folder import cannot_write, home, write_json

if TYPE_CHECKING:
    from pathlib import Path

    from napari_brgm.zoo.entry import PriorEntry

__all__ = ["check_trusted", "fetched_before", "remember", "trusted_sha256"]


def trusted_sha256(entry: PriorEntry, where: str) -> str | None:
    """SHA-256 that the file of a published entry must have: the published one, else that of its first use, else None.

    Parameters
    ----------
    where : str
        Address of the download, or name of the file that was brought by hand.

    Raises
    ------
    WeightsError
        The record cannot be read. It is never replaced unasked: that would be to trust anything.
    """
    if entry.hashed:
        return entry.sha256
    seen = _records().get(entry.name)
    if seen is None or (_is_address(where) and not _is_address(seen.get("from"))):
        return None
    return str(seen["sha256"])


def check_trusted(entry: PriorEntry, sha256: str, where: str) -> None:
    """Refuse a file whose hash is not the trusted one.

    Parameters
    ----------
    where : str
        Address of the download, or name of the file that was brought by hand.

    Raises
    ------
    WeightsError
        It differs.
    """
    trusted = trusted_sha256(entry, where)
    if trusted in (None, sha256):
        return
    what = "ask the authors before you trust it"
    if entry.hashed:
        since = "published for it"
    else:
        seen = _records()[entry.name]
        since = f"recorded at its first use on {seen['when'][:10]}"
        if not _is_address(seen.get("from")):
            since = f"{since}, of a file brought by hand that nobody has verified,"
            what = f"if this one is the right one, take {entry.name!r} out of {_file()} and do the same again"
    raise WeightsError(
        f"REFUSED: {where} is not the file that {entry.name} was before: its SHA-256 is {sha256[:16]}... and the one "
        f"{since} is {str(trusted)[:16]}...; nothing was changed; {what}"
    )


def fetched_before(entry: PriorEntry, sha256: str) -> str:
    """Address and day at which a file of this hash was fetched as that of the entry; empty if none was."""
    seen = _records().get(entry.name)
    if seen is None or seen["sha256"] != sha256 or not _is_address(seen.get("from")):
        return ""
    return f"{seen['from']} on {seen['when'][:10]}"


def _is_address(where: Any) -> bool:
    """Whether a file is from the web: names of files have no slashes."""
    return "://" in str(where)


def remember(entry: PriorEntry, sha256: str, where: str) -> None:
    """Record the hash of a first use; an earlier record stays, but for one of a file by hand that is now fetched.

    Parameters
    ----------
    where : str
        Address of the download, or name of the file that was brought by hand.

    Raises
    ------
    OutputError
        The record cannot be written.
    """
    records = _records()
    seen = records.get(entry.name)
    if entry.hashed or (seen is not None and (_is_address(seen.get("from")) or not _is_address(where))):
        return
    when = datetime.now(UTC).isoformat(timespec="seconds")
    try:
        write_json(_file(), records | {entry.name: {"sha256": sha256, "from": where, "when": when}})
    except OSError as error:
        raise cannot_write(home(), error) from error


def _file() -> Path:
    return home() / "first-use.json"


def _records() -> dict[str, dict[str, Any]]:
    path = _file()
    try:
        records = json.loads(path.read_text("utf-8"))
        whole = all(isinstance(seen["sha256"], str) and isinstance(seen["when"], str) for seen in records.values())
    except (FileNotFoundError, NotADirectoryError):
        return {}
    except (OSError, ValueError, TypeError, KeyError, AttributeError):
        whole = False
    if not whole:
        raise WeightsError(
            f"the record of trusted hashes {path} cannot be read; restore it, or delete it to trust anew what you fetch"
        )
    return dict(records)
