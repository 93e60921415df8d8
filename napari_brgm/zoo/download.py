"""A downloader for pooch that resumes, and that trusts neither the server's numbers nor where it points.

What has come lies in ``<file>.part``; it becomes the file only when it is whole. It is gone on with only where the
server can tell that it still has the same file (RFC 9110, 13.1.5 If-Range and 14.2 Range).
"""

from __future__ import annotations

import json
import re
import shutil
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from urllib.parse import urljoin, urlsplit

from napari_brgm.errors import OutputError, WeightsError
from napari_brgm.zoo.folder import write_json

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from requests import Response

    BytesProgress = Callable[[str, int, int | None], None]

__all__ = ["Download", "Limits", "Unreachable"]

_CHUNK = 1 << 18  # bytes
_REDIRECTS = 5
_LOOPBACK = frozenset({"localhost", "127.0.0.1", "::1"})


class Unreachable(Exception):
    """The file cannot be had from here; the message is a reason of a few words."""


class _Cut(Exception):
    """The connection ended before the file did."""


class _Changed(_Cut):
    """What has come is of another file: begin again."""


@dataclass(frozen=True, slots=True)
class Limits:
    """What a download may cost."""

    largest: int = 2 * 1024**3  # bytes of a file whose size nobody has published
    connect_seconds: float = 10.0
    read_seconds: float = 30.0  # without a byte
    attempts: int = 20  # connections for one file
    pause_seconds: float = 1.0  # before the connection is tried again


@dataclass(frozen=True, slots=True)
class Download:
    """Downloader in pooch's sense: called with an address and the file to fill.

    Attributes
    ----------
    part : Path
        Where the bytes lie until the file is whole.
    size : int or None
        Bytes the file must have, if known.
    progress : callable
        Told ('fetching', bytes that have come, bytes in all or None). What it raises ends the download; the part stays.
    """

    part: Path
    size: int | None
    progress: BytesProgress
    limits: Limits

    def __call__(self, url: str, output_file: str, pooch: Any, check_only: bool = False) -> None:
        """Fill ``output_file``.

        Raises
        ------
        Unreachable
            There is no connection, or it does not last.
        WeightsError
            The server sends too much, something else, or points to where it must not.
        OutputError
            The disk is too full.
        """
        came = 0
        for attempt in range(self.limits.attempts):
            if attempt:
                time.sleep(self.limits.pause_seconds)
            try:
                self._go_on(url)
                break
            except _Cut as error:
                came = max(came, self._come())
                if not came and not isinstance(error, _Changed):  # an offline machine is told at once
                    raise Unreachable(str(error)) from error
                reason = str(error)
        else:
            raise Unreachable(f"{reason}; {came / 1e6:.1f} MB have come and are kept")
        self.part.replace(output_file)
        self._note.unlink(missing_ok=True)

    @property
    def _note(self) -> Path:
        return self.part.with_name(self.part.name + ".json")

    def _come(self) -> int:
        return self.part.stat().st_size if self.part.is_file() else 0

    def _forget(self) -> None:
        self.part.unlink(missing_ok=True)
        self._note.unlink(missing_ok=True)

    def _resumable(self, url: str) -> tuple[int, str]:
        """From which byte to go on, and what the server must compare."""
        try:
            note = json.loads(self._note.read_text("utf-8"))
            validator = str(note["validator"]) if note["url"] == url else ""
        except (OSError, ValueError, KeyError, TypeError):
            validator = ""
        return (self._come(), validator) if validator else (0, "")

    def _go_on(self, url: str) -> None:
        """Connect once and read on to the end of the file."""
        import requests
        import urllib3

        start, validator = self._resumable(url)
        headers = {"Accept-Encoding": "identity", "User-Agent": "napari-brgm"}
        if start:
            headers |= {"Range": f"bytes={start}-", "If-Range": validator}
        host = urlsplit(url).hostname
        try:
            with requests.Session() as session, self._open(session, url, headers) as response:
                self._read(response, url, start)
        except (requests.Timeout, urllib3.exceptions.TimeoutError) as error:
            raise _Cut(f"no answer from {host} in time") from error
        except (requests.exceptions.InvalidURL, urllib3.exceptions.LocationValueError) as error:
            raise WeightsError(f"{host} points to an address that is none; nothing was fetched") from error
        except requests.exceptions.SSLError as error:
            raise _Cut(f"no secure connection to {host}") from error
        except (requests.RequestException, urllib3.exceptions.HTTPError) as error:
            raise _Cut(f"no lasting connection to {host}" if self._come() else f"no connection to {host}") from error
        except ValueError as error:  # urllib's way to refuse an address
            raise WeightsError(f"{host} points to an address that is none; nothing was fetched") from error

    def _open(self, session: Any, url: str, headers: dict[str, str]) -> Response:
        here = url
        for _ in range(_REDIRECTS + 1):
            _check_scheme(here, url)
            timeout = (self.limits.connect_seconds, self.limits.read_seconds)
            response: Response = session.get(here, headers=headers, stream=True, timeout=timeout, allow_redirects=False)
            if not response.is_redirect:
                return response
            here = urljoin(here, response.headers["location"])
            response.close()
        raise WeightsError(f"{urlsplit(url).hostname} sends from one address to the next without end; nothing was kept")

    def _read(self, response: Response, url: str, start: int) -> None:
        host = urlsplit(response.url).hostname
        length, span = (response.headers.get(f"content-{what}", "") for what in ("length", "range"))
        total = int(length) if re.fullmatch(r"\d{1,15}", length) else None
        if response.status_code == 206 and start:
            place = re.fullmatch(r"bytes (\d{1,15})-\d{1,15}/(\d{1,15})", span)
            if place is None or int(place[1]) != start:
                self._forget()
                raise _Changed(f"{host} sends another part than was asked for")
            total = int(place[2])
        elif response.status_code == 200:
            start = 0  # the whole file: it cannot resume, or has another file now
        elif response.status_code == 416 and start:
            if span == f"bytes */{start}":
                return  # all of it has come before
            self._forget()
            raise _Changed(f"{host} has another file now")
        else:
            raise Unreachable(f"{host} answers {response.status_code}")
        if response.headers.get("content-encoding", "identity") != "identity":
            raise WeightsError(f"{host} sends the file in an encoding that was not asked for; nothing was kept")
        self._check_size(total, start, host)
        tag = response.headers.get("etag", "")
        validator = tag if tag.startswith('"') else response.headers.get("last-modified", "")
        write_json(self._note, {"url": url, "validator": validator})
        done, limit = start, self.size or self.limits.largest
        with self.part.open("ab" if start else "wb") as file:
            for chunk in response.raw.stream(_CHUNK, decode_content=False):
                done += len(chunk)
                if done > limit:
                    break
                file.write(chunk)
                self.progress("fetching", done, total)
        if done > limit:
            self._forget()
            raise WeightsError(f"{host} sends more than the {_megabytes(limit)} expected; it was cut off, nothing kept")
        if done < (total or self.size or 0):
            raise _Cut(f"no lasting connection to {host}")

    def _check_size(self, total: int | None, start: int, host: str | None) -> None:
        """Refuse what is known beforehand to be wrong or not to fit."""
        if total is not None and self.size is not None and total != self.size:
            self._forget()
            raise WeightsError(
                f"{host} has a file of {total} bytes where {self.size} are expected: it is not the published one"
            )
        if total is not None and total > (self.size or self.limits.largest):
            raise WeightsError(
                f"{host} has a file of {_megabytes(total)}, more than the {_megabytes(self.limits.largest)} that a "
                "prior may have; nothing was fetched"
            )
        free = shutil.disk_usage(self.part.parent).free
        if total is not None and total - start > free:
            raise OutputError(
                f"the disk of {self.part.parent} has {_megabytes(free)} left and {_megabytes(total - start)} are to "
                "come; free some space on it, then do the same again"
            )


def _check_scheme(here: str, first: str) -> None:
    """Let https pass, and plain http on this machine alone if it was asked there."""
    scheme, host = urlsplit(here).scheme, urlsplit(here).hostname
    asked = urlsplit(first)
    local = scheme == asked.scheme == "http" and host in _LOOPBACK and asked.hostname in _LOOPBACK
    if scheme != "https" and not local:
        raise WeightsError(f"{asked.hostname} points to {scheme}://{host}, which is not secure; nothing was fetched")


def _megabytes(count: int) -> str:
    return f"{count / 1e6:,.1f} MB"
