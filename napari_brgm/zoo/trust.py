"""Trust on first use: the hash of a file that nobody has published is recorded once, and must not change after."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from napari_brgm.errors import WeightsError
from napari_brgm.zoo.folder import cannot_write, home, write_json

if TYPE_CHECKING:
    from pathlib import Path

    from napari_brgm.zoo.entry import PriorEntry

__all__ = ["check_trusted", "remember", "trusted_sha256"]


def trusted_sha256(entry: PriorEntry) -> str | None:
    """SHA-256 that the file of a published entry must have: the published one, else that of its first use, else None.

    Raises
    ------
    WeightsError
        The record cannot be read. It is never replaced unasked: that would be to trust anything.
    """
    if entry.hashed:
        return entry.sha256
    seen = _records().get(entry.name)
    return None if seen is None else str(seen["sha256"])


def check_trusted(entry: PriorEntry, sha256: str, where: str) -> None:
    """Refuse a file whose hash is not the trusted one.

    Parameters
    ----------
    where : str
        The file or address, for the sentence.

    Raises
    ------
    WeightsError
        It differs.
    """
    trusted = trusted_sha256(entry)
    if trusted in (None, sha256):
        return
    if entry.hashed:
        since = "published for it"
    else:
        since = f"recorded at its first use on {_records()[entry.name]['when'][:10]}"
    raise WeightsError(
        f"REFUSED: {where} is not the file that {entry.name} was before: its SHA-256 is {sha256[:16]}... and the one "
        f"{since} is {str(trusted)[:16]}...; nothing was changed; ask the authors before you trust it"
    )


def remember(entry: PriorEntry, sha256: str, where: str) -> None:
    """Record the hash of a first use; an earlier record stays.

    Raises
    ------
    OutputError
        The record cannot be written.
    """
    records = _records()
    if entry.hashed or entry.name in records:
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
