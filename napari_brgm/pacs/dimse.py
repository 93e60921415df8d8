"""Archives over DIMSE: C-FIND, C-GET or C-MOVE, and C-STORE.

What is fetched is written byte for byte as it comes, compressed or not. With C-MOVE the archive delivers on a
connection of its own, which is taken from it alone and for the series that was asked for.

Source: DICOM PS3.4 annexes B (storage) and C (query/retrieve), PS3.7; PS3.15 B (TLS).
"""

from __future__ import annotations

import socket
import ssl
from contextlib import contextmanager
from functools import partial
from typing import TYPE_CHECKING, Any

from pydicom import dcmread
from pydicom import uid as uids
from pydicom.dataset import Dataset
from pynetdicom import AE, _config, build_role, evt
from pynetdicom.pdu import A_ASSOCIATE_RJ
from pynetdicom.presentation import build_context
from pynetdicom.sop_class import (  # type: ignore[attr-defined]
    StudyRootQueryRetrieveInformationModelFind,
    StudyRootQueryRetrieveInformationModelGet,
    StudyRootQueryRetrieveInformationModelMove,
)

from napari_brgm.errors import ArchiveError
from napari_brgm.pacs.archive import FoundSeries, in_order, without_logs
from napari_brgm.pacs.secure import client_context, server_context
from napari_brgm.reason import reason_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path

    from pynetdicom.association import Association

    from napari_brgm.pacs.address_book import Address
    from napari_brgm.pacs.archive import SeriesQuery

__all__ = ["DimseArchive"]

_config.LOG_REQUEST_IDENTIFIERS = _config.LOG_RESPONSE_IDENTIFIERS = False  # they name patients
_PATIENCE = 30  # s
_CLASSES = (  # of images that we read or write
    uids.CTImageStorage, uids.EnhancedCTImageStorage, uids.MRImageStorage, uids.EnhancedMRImageStorage,
    uids.ComputedRadiographyImageStorage, uids.DigitalXRayImageStorageForPresentation,
    uids.DigitalXRayImageStorageForProcessing, uids.DigitalMammographyXRayImageStorageForPresentation,
    uids.XRayAngiographicImageStorage, uids.PositronEmissionTomographyImageStorage, uids.EnhancedPETImageStorage,
    uids.NuclearMedicineImageStorage, uids.UltrasoundImageStorage, uids.UltrasoundMultiFrameImageStorage,
    uids.SecondaryCaptureImageStorage, uids.LegacyConvertedEnhancedCTImageStorage,
    uids.LegacyConvertedEnhancedMRImageStorage, uids.ParametricMapStorage, uids.SegmentationStorage,
)  # fmt: skip
_PLAIN = [uids.ExplicitVRLittleEndian, uids.ImplicitVRLittleEndian]
_PACKED = (uids.JPEGLosslessSV1, uids.JPEG2000Lossless, uids.JPEGLSLossless, uids.RLELossless, uids.JPEGBaseline8Bit)
_SYNTAXES: list[Any] = [_PLAIN, *_PACKED]  # each compressed one by itself: an acceptor takes one of several
_NO_ANSWER = -1  # as of a connection that ended
_PENDING = (0xFF00, 0xFF01)


class _FetchEnded(BaseException):
    """Leaves a handler of pynetdicom, which holds back every ``Exception``."""


class DimseArchive:
    """An ``Archive`` over DIMSE.

    Parameters
    ----------
    address : Address
    """

    def __init__(self, address: Address) -> None:
        self.address = address

    def find(self, query: SeriesQuery) -> list[FoundSeries]:
        found = []
        with self._association([build_context(StudyRootQueryRetrieveInformationModelFind)]) as archive:
            for study in self._matches(archive, "STUDY", query.study_keys()):
                keys = query.series_keys() | {
                    "StudyInstanceUID": _text(study, "StudyInstanceUID"), "SeriesNumber": "", "SeriesDescription": "",
                    "NumberOfSeriesRelatedInstances": "",
                }  # fmt: skip
                for series in self._matches(archive, "SERIES", keys):
                    found.append(
                        FoundSeries.of(keys["StudyInstanceUID"], partial(_text, study), partial(_text, series))
                    )
        return in_order(found)

    def fetch(self, series: FoundSeries, folder: Path, tell: Callable[[int], None]) -> list[Path]:
        files: list[Path] = []
        stopped: list[Exception] = []

        def keep(event: Any) -> int:
            if stopped or str(event.request.AffectedSOPInstanceUID or "") == "":
                return 0xA900
            data = event.encoded_dataset()
            file = folder / f"{len(files) + 1:05d}.dcm"
            try:
                file.write_bytes(data)
                own = dcmread(file, specific_tags=["SeriesInstanceUID"], stop_before_pixels=True)
            except OSError:
                return 0xA700  # out of resources
            if str(own.get("SeriesInstanceUID")) != series.uid:
                file.unlink()
                return 0xA900
            files.append(file)
            try:
                tell(len(files))
            except Exception as error:  # pynetdicom would swallow it, and the archive go on
                stopped.append(error)
                if not self.address.listen:  # in the thread that asks
                    raise _FetchEnded from error
                event.assoc.abort()
            return 0

        wanted = Dataset()
        wanted.QueryRetrieveLevel = "SERIES"
        wanted.StudyInstanceUID, wanted.SeriesInstanceUID = series.study, series.uid
        try:
            (self._move if self.address.listen else self._get)(wanted, keep)
        except (ArchiveError, _FetchEnded):
            if not stopped:  # else the connection was ended here
                raise
        if stopped:
            raise stopped[0]
        if not files:
            raise ArchiveError(f"the archive {self.address.name} delivered nothing of this series; {self._advice}")
        return files

    def send(self, files: Sequence[Path], tell: Callable[[int], None]) -> None:
        kinds: dict[tuple[str, str], None] = {}
        for file in files:
            meta = dcmread(file, stop_before_pixels=True, specific_tags=["SOPClassUID"])
            kinds[str(meta.SOPClassUID), str(meta.file_meta.TransferSyntaxUID)] = None
        with self._association([build_context(kind, syntax) for kind, syntax in kinds]) as archive:
            for number, file in enumerate(files):
                try:
                    status = int(archive.send_c_store(file).get("Status", _NO_ANSWER))
                except ValueError as error:  # no context for it was accepted
                    raise self._failed("does not take this kind of object") from error
                if status == _NO_ANSWER:
                    raise self._failed(f"ended the connection after {number} of {len(files)} files")
                if status and not 0xB000 <= status <= 0xBFFF:  # warnings: it is stored
                    raise self._failed(f"refused file {number + 1} of {len(files)} (status {status:04X})")
                tell(number + 1)

    @property
    def _advice(self) -> str:
        if self.address.listen:
            return f"it must know {self.address.own_title} at this machine's port {self.address.listen}"
        return "if it cannot answer C-GET, give the archive a port to deliver to (archives add --listen)"

    def _get(self, wanted: Dataset, keep: Callable[[Any], int]) -> None:
        contexts = [build_context(StudyRootQueryRetrieveInformationModelGet)]
        contexts += [build_context(kind, syntax) for kind in _CLASSES for syntax in _SYNTAXES]
        roles = [build_role(kind, scp_role=True) for kind in _CLASSES]
        with self._association(contexts[:128], roles, [(evt.EVT_C_STORE, keep)]) as archive:
            try:
                self._finish(archive.send_c_get(wanted, StudyRootQueryRetrieveInformationModelGet))
            except _FetchEnded:
                archive.abort()  # a release would wait for what is still to come
                raise

    def _move(self, wanted: Dataset, keep: Callable[[Any], int]) -> None:
        own = AE(self.address.own_title)
        own.require_calling_aet, own.require_called_aet = [self.address.title], True
        for kind in _CLASSES:
            own.add_supported_context(kind, [*_PLAIN, *_PACKED])
        context = server_context(self.address) if self.address.tls else None
        loopback = "127.0.0.1" if self.address.host in ("127.0.0.1", "localhost") else ""
        try:
            server = own.start_server(
                (loopback, self.address.listen),
                block=False,
                ssl_context=context,
                evt_handlers=[(evt.EVT_C_STORE, keep)],
            )
        except OSError as error:
            raise ArchiveError(
                f"port {self.address.listen} of this machine is taken; choose another --listen"
            ) from error
        assert server is not None
        try:
            with self._association([build_context(StudyRootQueryRetrieveInformationModelMove)]) as archive:
                self._finish(
                    archive.send_c_move(wanted, self.address.own_title, StudyRootQueryRetrieveInformationModelMove)
                )
        finally:
            server.shutdown()

    def _finish(self, responses: Iterator[tuple[Dataset, Dataset | None]]) -> None:
        """Wait for the last response of a retrieval."""
        status, failed = _NO_ANSWER, 0
        try:
            for answer, _ in responses:
                status = int(answer.get("Status", _NO_ANSWER))
                failed = int(answer.get("NumberOfFailedSuboperations") or 0)
        except ValueError as error:  # no context for it was accepted
            raise self._failed(f"does not give images in this way; {self._advice}") from error
        if status == 0 and not failed:
            return
        if status == _NO_ANSWER:
            raise self._failed(f"ended the connection; {self._advice}")
        if failed:
            raise self._failed(f"could not deliver {failed} of the images (status {status:04X})")
        raise self._failed(f"refused to deliver (status {status:04X}); {self._advice}")

    def _matches(self, archive: Association, level: str, keys: dict[str, str]) -> list[Dataset]:
        """Answers of a C-FIND."""
        wanted = Dataset()
        wanted.QueryRetrieveLevel = level
        for keyword, value in keys.items():
            setattr(wanted, keyword, value)
        found, status = [], _NO_ANSWER
        for answer, dataset in archive.send_c_find(wanted, StudyRootQueryRetrieveInformationModelFind):
            status = int(answer.get("Status", _NO_ANSWER))
            if status in _PENDING and dataset is not None:
                found.append(dataset)
        if status == _NO_ANSWER:
            raise self._failed(f"ended the connection; it may not know {self.address.own_title} as one who may ask")
        if status:
            raise self._failed(f"refused to look (status {status:04X})")
        return found

    @contextmanager
    def _association(
        self, contexts: Sequence[Any], roles: Sequence[Any] = (), handlers: Sequence[Any] = ()
    ) -> Iterator[Association]:
        address, own = self.address, AE(self.address.own_title)
        own.acse_timeout = own.dimse_timeout = own.network_timeout = own.connection_timeout = _PATIENCE
        context = client_context(address) if address.tls else None
        self._knock(context)
        rejections: list[Any] = []  # an association that is rejected at once may call itself aborted: its own race

        def note_rejection(event: Any) -> None:
            if isinstance(event.pdu, A_ASSOCIATE_RJ):
                rejections.append(event.pdu)

        with without_logs():
            archive = own.associate(
                address.host, address.port, list(contexts), address.title, ext_neg=list(roles),
                tls_args=None if context is None else (context, address.host),
                evt_handlers=[(evt.EVT_PDU_RECV, note_rejection), *handlers],
            )  # fmt: skip
            if rejections:
                raise self._failed("refused the connection: check both AE titles")
            if not archive.is_established:
                raise self._failed("ended the connection; it may want a certificate of ours, or not know us")
            try:
                yield archive
                if not archive.is_established:
                    raise self._failed("ended the connection")
            finally:
                if archive.is_established:
                    archive.release()

    def _knock(self, context: ssl.SSLContext | None) -> None:
        """Connect and part at once: the system says why that fails, pynetdicom does not, and leaves its socket open."""
        address = self.address
        try:
            with socket.create_connection((address.host, address.port), _PATIENCE) as plain:
                if context is not None:
                    with context.wrap_socket(
                        plain, server_hostname=address.host, do_handshake_on_connect=False
                    ) as secure_socket:
                        secure_socket.do_handshake()
        except ssl.SSLCertVerificationError as error:
            raise self._failed("has a certificate that nobody vouches for; give --authority a PEM file") from error
        except OSError as error:
            secure = ", and whether it speaks TLS there" if address.tls else ""
            why = f"at {address.where} cannot be reached: {reason_of(error)}; check its address{secure}"
            raise self._failed(why) from error

    def _failed(self, what: str) -> ArchiveError:
        return ArchiveError(f"the archive {self.address.name} {what}")


def _text(dataset: Dataset, keyword: str) -> str:
    value = dataset.get(keyword)
    return "" if value is None else str(value)
