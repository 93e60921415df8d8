"""Fetch published weights: asked first, resumed, compared with their hash, converted, installed whole or not at all."""

from __future__ import annotations

import logging
import shutil
from contextlib import contextmanager
from typing import TYPE_CHECKING

from napari_brgm.errors import WeightsError
from napari_brgm.zoo.download import Download, Limits, Unreachable
from napari_brgm.zoo.files import sha256_of
from napari_brgm.zoo.folder import cannot_write, downloads_folder, installed
from napari_brgm.zoo.install import import_file
from napari_brgm.zoo.registry import published, registered
from napari_brgm.zoo.trust import check_trusted, trusted_sha256

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from napari_brgm.zoo.download import BytesProgress
    from napari_brgm.zoo.entry import PriorEntry

__all__ = ["fetch", "fetchable", "terms"]


def fetchable(name: str, again: bool = False) -> PriorEntry:
    """Give the entry of weights that can be fetched.

    Raises
    ------
    WeightsError
        There are none of this name, they are here already, or only the page is known.
    """
    if name in registered():
        raise WeightsError(f"{name} ships with napari-brgm: there is nothing to fetch")
    entry = published().get(name)
    if entry is None:
        known = ", ".join(one.name for one in published().values() if one.download) or "none"
        raise WeightsError(f"there are no published weights {name!r}; those that can be fetched are {known}")
    if name in installed() and not again:
        raise WeightsError(f"{name} is installed already; `napari-brgm weights verify` tells whether it is intact")
    if entry.download is None:
        raise WeightsError(
            f"no direct address of {name} is known: look for it at {entry.source} (licence: {entry.licence}), "
            f"then run `napari-brgm weights import FILE --name {name}`"
        )
    return entry


def terms(entry: PriorEntry) -> dict[str, str]:
    """What a person has to agree to before a download: its address, size, licence, and what is known of the hash."""
    known = trusted_sha256(entry, str(entry.download))
    trust = "not published; recorded now, and every later download must be the same"
    if known is not None:
        trust = f"{known[:16]}..., {'published' if entry.hashed else 'recorded at the first use'}"
    return {
        "what": entry.title,
        "from": str(entry.download),
        "size": "not published" if entry.size is None else f"{entry.size / 1e6:,.1f} MB",
        "licence": entry.licence,
        "cite": entry.citation,
        "SHA-256": trust,
        "into": f"{downloads_folder() / entry.name}, then converted; no code in it runs",
    }


def fetch(
    name: str,
    *,
    agreed: bool,
    again: bool = False,
    progress: BytesProgress = lambda what, done, total: None,
    limits: Limits = Limits(),  # noqa: B008  # frozen
) -> PriorEntry:
    """Download published weights, check and install them.

    Parameters
    ----------
    agreed : bool
        A person has agreed to the ``terms``.
    again : bool
        Even if they are installed; what was fetched is replaced only by a file of the same hash.
    progress : callable
        Told ('fetching', bytes that have come, bytes in all or None), then ('converting', 0, None). What it raises
        ends the work; a download that was begun is gone on with the next time.

    Raises
    ------
    WeightsError
        Nobody agreed, there is no connection (the sentence says what to copy where), or the file is not the right one.
    OutputError
        It cannot be written.
    """
    entry = fetchable(name, again)
    if not agreed:
        raise WeightsError(f"nothing was fetched: nobody agreed to the download of {entry.download}")
    folder = downloads_folder() / name
    with _alone(name):
        file = _download(entry, folder, progress, limits)
        progress("converting", 0, None)
        try:
            check_trusted(entry, sha256_of(file), str(entry.download))
            done = import_file(file, name, replace_installed=again, fetched_from=str(entry.download))
        except WeightsError:
            shutil.rmtree(folder, ignore_errors=True)  # not what its name says: a new try must not begin from it
            raise
        shutil.rmtree(folder, ignore_errors=True)
    return done


@contextmanager
def _alone(name: str) -> Iterator[None]:
    """Keep other processes from fetching the same: two writers would mix their bytes in one file."""
    from filelock import FileLock, Timeout  # torch brings it

    try:
        downloads_folder().mkdir(parents=True, exist_ok=True)
        lock = FileLock(downloads_folder() / f".{name}.lock", timeout=0)
        lock.acquire()
    except Timeout as error:
        raise WeightsError(f"{name} is being fetched by another napari-brgm on this machine; wait for it") from error
    except OSError as error:
        raise cannot_write(downloads_folder(), error) from error
    try:
        yield
    finally:
        lock.release()


def _download(entry: PriorEntry, folder: Path, progress: BytesProgress, limits: Limits) -> Path:
    """Bring the file into ``folder`` by way of pooch, which compares the hash and moves the file to its name."""
    import pooch

    file = folder / entry.file
    address = str(entry.download)
    known = trusted_sha256(entry, address)
    download = Download(file.with_name(entry.file + ".part"), entry.size, progress, limits)
    logger = pooch.get_logger()
    level = logger.level
    logger.setLevel(logging.WARNING)  # it would tell hashes to the person at every step
    try:
        folder.mkdir(parents=True, exist_ok=True)
        pooch.retrieve(address, known, fname=entry.file, path=folder, downloader=download)
    except Unreachable as error:
        raise WeightsError(_by_hand(entry, folder, str(error))) from error
    except OSError as error:
        raise cannot_write(folder, error) from error
    except ValueError as error:
        shutil.rmtree(folder, ignore_errors=True)
        since = "published" if entry.hashed else "recorded at its first use"
        raise WeightsError(
            f"REFUSED: the file at {address} is not the {entry.name} that it was: its SHA-256 is not the one {since} "
            f"({str(known)[:16]}...); nothing was changed; ask the authors before you trust it"
        ) from error
    finally:
        logger.setLevel(level)
    return file


def _by_hand(entry: PriorEntry, folder: Path, reason: str) -> str:
    place = folder / entry.file
    return (
        f"{entry.name} cannot be fetched ({reason}): on a machine with a connection get {entry.download}, copy it as "
        f'{entry.file} to {folder}, then run `napari-brgm weights import "{place}" --name {entry.name}`'
    )
