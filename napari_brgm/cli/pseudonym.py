"""What results call a scan in place of its own name, and whatever else is said of it.

Inputs are read through links that are called after the pseudonym, in a hidden folder below ``--out`` that goes with the
command. So no name of a file, nor of a folder that holds it, reaches a result, a record, a message or a table: what
reads and writes never learns it.
"""

from __future__ import annotations

import hashlib
import hmac
import os
import re
import secrets
import shutil
from contextlib import contextmanager, suppress
from glob import escape
from typing import TYPE_CHECKING, Any

from napari_brgm.cli.terminal import say_note
from napari_brgm.errors import InputError, OutputError
from napari_brgm.reason import advice_of, reason_of
from napari_brgm.scans.fingerprint import files_below
from napari_brgm.scans.staging import PRIVATE_FILE, Staging, private_folder, remove_stale
from napari_brgm.text import plain_text

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

__all__ = ["key_in", "read_as", "under_key"]

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,63}")
_ENDING = re.compile(r"\.(nii\.gz|nii|hdr\.gz|hdr|img\.gz|img|png|jpe?g|tiff?|npy|dcm)$", re.IGNORECASE)
_HALVES = {"hdr": "img", "img": "hdr"}
_LEAST = 16  # bytes of a key
_DIGITS = 12


@contextmanager
def read_as(
    name: str | None, out: Path, scan: Path, described: bool = False, **others: Path | None
) -> Iterator[list[Any]]:  # fmt: skip
    """Paths under which the scan and other inputs are to be read: links called 'name', 'name-mask' and so on.

    Parameters
    ----------
    name : str or None
        None: all are read as they are.
    out : Path
        Folder of the results.
    scan : Path
    described : bool
        Results shall be called by the description of a series, too.
    **others : Path or None
        By what they are called after the name.

    Raises
    ------
    InputError
        It is no name for a file, or an input is not there.
    OutputError
        There can be no links.
    """
    inputs = {"scan": scan, **others}
    if name is None:
        yield list(inputs.values())
        return
    if described:
        raise InputError("--with-description names what --pseudonym shall not; leave one of them out")
    if not _NAME.fullmatch(name):
        raise InputError(f"--pseudonym is a name of letters, digits, - and _, such as sub-01; got {plain_text(name)!r}")
    for what, path in inputs.items():
        if path is not None and not path.exists():
            raise InputError(f"the {what} of {name} is not there; check its path")
    made = not out.exists()
    try:
        out.mkdir(mode=0o700, parents=True, exist_ok=True)
        remove_stale(out)
        links = Staging.made_in(out)
    except OSError as error:
        advice = advice_of(error, "choose an --out folder that can be written")
        raise OutputError(f"cannot write into {plain_text(out)}: {reason_of(error)}; {advice}") from error
    try:
        yield [
            None if path is None else _linked(path, links.path, name if what == "scan" else f"{name}-{what}")
            for what, path in inputs.items()
        ]
    finally:
        links.remove()
        if made:
            with suppress(OSError):  # there are results
                out.rmdir()


def key_in(path: Path) -> bytes:
    """The key in a file; a new one is put there where there is no such file.

    Raises
    ------
    InputError
        It is shorter than 16 bytes, or cannot be read.
    """
    try:
        if not path.exists():
            path.touch(PRIVATE_FILE, exist_ok=False)
            path.write_bytes(secrets.token_hex(32).encode() + b"\n")
            say_note(f"{plain_text(path.name)} is a new key; with it the same scans get the same names: keep it secret")
        key = path.read_bytes().strip()
    except OSError as error:
        raise InputError(f"{plain_text(path.name)} cannot be used as a key: {reason_of(error)}; check it") from error
    if len(key) < _LEAST:
        raise InputError(f"{plain_text(path.name)} is too short for a key, it can be guessed; name a new file")
    return key


def under_key(name: str, key: bytes) -> str:
    """A name that only who has the key can tell from another: HMAC-SHA256, 48 bits of it.

    Examples
    --------
    >>> under_key("sub-01/T1", b"0123456789abcdef")
    'p-ae4ceb3915ac'
    """
    return f"p-{hmac.new(key, name.encode('utf-8', 'surrogateescape'), hashlib.sha256).hexdigest()[:_DIGITS]}"


def _linked(path: Path, folder: Path, name: str) -> Path:
    """A link to a file, or a folder of links to the files of a folder, in their order."""
    path = path.absolute()
    if path.is_dir():
        private_folder(folder / name)
        for number, file in enumerate(files_below(path)):
            _link(file, folder / name / f"{number:06d}{_ending(file)}")
        return folder / name
    ending = _ending(path)
    _link(path, folder / f"{name}{ending}")
    for half, other in _HALVES.items():
        if ending.lower().startswith(f".{half}"):
            for beside in path.parent.glob(f"{escape(path.name[: -len(ending)])}.*"):
                if _ending(beside).lower() in (f".{other}", f".{other}.gz"):
                    _link(beside, folder / f"{name}{_ending(beside)}")
    return folder / f"{name}{ending}"


def _ending(path: Path) -> str:
    found = _ENDING.search(path.name)
    return found[0] if found else ""


def _link(path: Path, at: Path) -> None:
    try:
        os.symlink(path, at)
    except (OSError, NotImplementedError):  # who may not make links on Windows
        try:
            os.link(path, at)
        except OSError:
            _copy(path, at)


def _copy(path: Path, at: Path) -> None:
    try:
        shutil.copyfile(path, at)
        at.chmod(PRIVATE_FILE)
    except OSError as error:  # which names the file itself
        raise OutputError(f"{at.name} cannot be linked or copied: {reason_of(error)}; check it and --out") from None
