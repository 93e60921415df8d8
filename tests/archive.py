"""A real archive on loopback: Orthanc with its DICOMweb plugin, in a folder and on ports of its own."""

from __future__ import annotations

import json
import shutil
import socket
import subprocess
import time
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import requests

if TYPE_CHECKING:
    from collections.abc import Iterator

TITLE = "ARCHIVE"
_PLUGIN = Path("/usr/share/orthanc/plugins/libOrthancDicomWeb.so")  # where Debian puts it


@dataclass(frozen=True, slots=True)
class Archive:
    """Where a running Orthanc listens: DICOM, and its own REST interface, below which DICOMweb is; and its folder."""

    port: int
    url: str
    folder: Path

    @property
    def web(self) -> str:
        return f"{self.url}/dicom-web"

    def instances(self) -> list[str]:
        """Orthanc's own names of what it holds."""
        return list(requests.get(f"{self.url}/instances", timeout=5).json())


def free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])


@contextmanager
def running_archive(folder: Path, **settings: Any) -> Iterator[Archive]:
    """Start one in an empty folder; the test is skipped where it is not installed."""
    program = shutil.which("Orthanc", path="/usr/sbin:/usr/bin:/usr/local/sbin")
    if program is None or not _PLUGIN.is_file():
        pytest.skip("needs an archive to talk to: Debian's packages orthanc and orthanc-dicomweb")
    port, web = free_port(), free_port()
    told = {
        "StorageDirectory": str(folder), "IndexDirectory": str(folder), "Plugins": [str(_PLUGIN)],
        "HttpPort": web, "DicomPort": port, "DicomAet": TITLE, "DicomCheckCalledAet": True,
        "RemoteAccessAllowed": False, "AuthenticationEnabled": False, "DicomWeb": {"Enable": True},
    }  # fmt: skip
    (folder / "orthanc.json").write_text(json.dumps(told | settings), encoding="utf-8")
    with (folder / "log").open("w") as log:
        process = subprocess.Popen([program, folder / "orthanc.json"], stdout=log, stderr=log)
    try:
        url = f"http://127.0.0.1:{web}"
        for _ in range(200):
            assert process.poll() is None, (folder / "log").read_text()
            try:
                requests.get(f"{url}/system", timeout=5)
                break
            except requests.ConnectionError:
                time.sleep(0.05)
        yield Archive(port, url, folder)
    finally:
        process.terminate()
        process.wait(20)
