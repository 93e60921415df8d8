"""The person's own folder of weights, and how files come to lie in it: all of a prior, or nothing.

    <home>/weights/<name>/     entry.json, <name>.safetensors, <name>.md
    <home>/downloads/<name>/   what is being fetched
    <home>/first-use.json      hashes that nobody has published, as they were at first use

<home> is ``NAPARI_BRGM_HOME`` where that is set, else napari-brgm in ``XDG_DATA_HOME``, else in ~/.local/share (the
convention by which torch finds its cache, but for data: what a person has imported is no cache).
"""

from __future__ import annotations

import errno
import json
import os
import shutil
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any
from uuid import uuid4

from napari_brgm.errors import OutputError, WeightsError
from napari_brgm.reason import advice_of, reason_of
from napari_brgm.whole_file import whole_file
from napari_brgm.zoo.entry import Kind, PriorEntry, checked_name

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = [
    "ENTRY", "cannot_write", "downloads_folder", "home", "installed", "staged", "unreadable", "user_folder",
    "write_json",
]  # fmt: skip

ENTRY = "entry.json"


def home() -> Path:
    """Folder of everything that a person has added."""
    if own := os.environ.get("NAPARI_BRGM_HOME"):
        return Path(own).expanduser()
    return Path(os.environ.get("XDG_DATA_HOME") or "~/.local/share").expanduser() / "napari-brgm"


def user_folder() -> Path:
    """Where installed priors lie, each in a folder of its name."""
    return home() / "weights"


def downloads_folder() -> Path:
    """Where downloads lie until they are installed."""
    return home() / "downloads"


def installed() -> dict[str, PriorEntry]:
    """Entries of the installed priors by name; those that cannot be read are in ``unreadable``."""
    return {name: entry for name, entry in _scan() if isinstance(entry, PriorEntry)}


def unreadable() -> dict[str, str]:
    """What is wrong with the installed priors whose entry cannot be read, one sentence by name."""
    return {name: entry for name, entry in _scan() if isinstance(entry, str)}


def _scan() -> Iterator[tuple[str, PriorEntry | str]]:
    from napari_brgm.zoo.header import with_family  # which loads torch, where the folder alone is asked for

    try:
        folders = sorted(path for path in user_folder().iterdir() if path.is_dir() and path.name[0] != ".")
    except OSError:  # none has been made, or it is not ours to read: the shipped priors must load all the same
        return
    for folder in folders:
        try:
            name = checked_name(folder.name)
            entry = PriorEntry.from_json(name, Kind.installed, json.loads((folder / ENTRY).read_text("utf-8")))
            if not (entry.file and entry.hashed):
                raise WeightsError("it names no file or no hash")
            entry = with_family(entry, folder / entry.file)
        except (OSError, ValueError, WeightsError) as error:
            yield folder.name, f"{ENTRY} of {folder.name} cannot be read ({error}); remove it and import it again"
        else:
            yield name, entry


@contextmanager
def staged(name: str, *, replacing: bool = True) -> Iterator[Path]:
    """Give an empty folder, which takes the place of ``name`` when the ``with`` block ends well, and vanishes else.

    Parameters
    ----------
    replacing : bool
        Whether it may take the place of one that is there.

    Raises
    ------
    OutputError
        The files cannot be written; what was there before stays.
    WeightsError
        It may replace nothing, and another process has installed the name meanwhile.
    """
    place = user_folder() / checked_name(name)
    staging, old = (place.with_name(f".{name}-{uuid4().hex[:12]}") for _ in range(2))
    try:
        staging.mkdir(parents=True)
        yield staging
        if replacing and place.exists():
            place.rename(old)
        try:
            staging.rename(place)  # fails where a folder with files is: of two imports at once one installs
        except OSError as error:
            if old.exists():
                old.rename(place)
            if not replacing and error.errno in (errno.EEXIST, errno.ENOTEMPTY):
                raise WeightsError(
                    f"{name} was installed meanwhile; choose another name, or remove it first"
                ) from error
            raise
    except OSError as error:
        raise cannot_write(place.parent, error) from error
    finally:
        for leftover in (staging, old):
            shutil.rmtree(leftover, ignore_errors=True)


def write_json(path: Path, record: Any) -> None:
    """Write a record; the file is the old one until it is the whole new one.

    Raises
    ------
    OSError
        It cannot be written.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    with whole_file(path) as draft:
        draft.write_text(json.dumps(record, indent=2, ensure_ascii=False) + "\n", "utf-8")


def cannot_write(folder: Path, error: OSError) -> OutputError:
    """Make the sentence for files that cannot be written into ``folder``."""
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return OutputError(f"the disk of {folder} is full; free some space on it, then do the same again")
    advice = advice_of(error, "set NAPARI_BRGM_HOME to a folder that can be written")
    return OutputError(f"cannot write into {folder}: {reason_of(error)}; {advice}")
