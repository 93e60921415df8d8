"""DIMSE over TLS: nobody is spoken to who does not prove who they are."""

from __future__ import annotations

import gc
import ssl
import subprocess
from typing import TYPE_CHECKING

import pytest
from archive import free_port
from dicom_sources import result
from pynetdicom import AE, evt

from napari_brgm.errors import ArchiveError
from napari_brgm.pacs.address_book import Address
from napari_brgm.pacs.opening import open_archive
from napari_brgm.pacs.outgoing import results_in
from napari_brgm.scans.dicom_study import write_study

if TYPE_CHECKING:
    from pathlib import Path


def certificate(folder: Path, name: str) -> tuple[Path, Path]:
    """A certificate of 127.0.0.1 that signs itself, and its key."""
    folder.mkdir(exist_ok=True)
    made, key = folder / f"{name}.pem", folder / f"{name}.key"
    subject = ["-subj", f"/CN={name}", "-addext", "subjectAltName=IP:127.0.0.1"]
    curve = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"]
    command = ["openssl", "req", "-x509", *curve, "-days", "2", *subject, "-keyout", key, "-out", made]
    subprocess.run(command, check=True, capture_output=True)
    return made, key


# the server of this test leaves sockets open whose handshake failed, and they are collected before it ends
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_results_go_to_an_archive_that_proves_itself_and_asks_us_to(tmp_path: Path) -> None:
    theirs, their_key = certificate(tmp_path / "pem", "archive")
    ours, our_key = certificate(tmp_path / "pem", "us")
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH, cafile=ours)
    context.verify_mode = ssl.CERT_REQUIRED
    context.load_cert_chain(theirs, their_key)
    stored: list[str] = []

    def keep(event: evt.Event) -> int:
        stored.append(event.request.AffectedSOPInstanceUID)
        return 0

    write_study(*result("MR", tmp_path / "in"), tmp_path / "out")
    files, _ = results_in([tmp_path / "out"])
    server = AE("ARCHIVE")
    for kind in ("1.2.840.10008.5.1.4.1.1.4", "1.2.840.10008.5.1.4.1.1.30", "1.2.840.10008.5.1.4.1.1.66.4"):
        server.add_supported_context(kind)
    port = free_port()
    running = server.start_server(
        ("127.0.0.1", port), block=False, ssl_context=context, evt_handlers=[(evt.EVT_C_STORE, keep)]
    )

    def send(**told: object) -> None:
        address = Address("a", host="127.0.0.1", port=port, title="ARCHIVE", tls=True, **told)
        open_archive(address).send(files, lambda done: None)

    try:
        send(authority=str(theirs), certificate=str(ours), key=str(our_key))
        assert len(stored) == len(files)
        for told in ({}, {"authority": str(ours)}):  # nobody, or another one
            with pytest.raises(ArchiveError, match="has a certificate that nobody vouches for"):
                send(**told)
        with pytest.raises(ArchiveError, match="may want a certificate of ours"):
            send(authority=str(theirs))
        with pytest.raises(ArchiveError, match="cannot be read; check the PEM files"):
            send(authority=str(tmp_path / "none.pem"))
        assert len(stored) == len(files)
    finally:
        running.shutdown()
        gc.collect()
