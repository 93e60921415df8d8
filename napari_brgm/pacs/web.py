"""Archives over DICOMweb: QIDO-RS, WADO-RS, STOW-RS.

Source: DICOM PS3.18 chapters 10.4 (retrieve), 10.5 (store), 10.6 (search).
"""

from __future__ import annotations

from contextlib import contextmanager
from functools import partial
from typing import TYPE_CHECKING, Any

import requests
from dicomweb_client.api import DICOMwebClient
from pydicom import dcmread
from pydicom.datadict import tag_for_keyword

from napari_brgm.errors import ArchiveError
from napari_brgm.pacs.archive import FoundSeries, in_order, without_logs

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path

    from napari_brgm.pacs.address_book import Address
    from napari_brgm.pacs.archive import SeriesQuery

__all__ = ["WebArchive"]

_PATIENCE = 30  # s
_SERIES = ["SeriesNumber", "SeriesDescription", "NumberOfSeriesRelatedInstances"]


class WebArchive:
    """An ``Archive`` over DICOMweb.

    Parameters
    ----------
    address : Address
    """

    def __init__(self, address: Address) -> None:
        self.address = address
        session = requests.Session()  # takes a login from ~/.netrc
        session.verify = address.authority or True
        if address.certificate:
            session.cert = (address.certificate, address.key) if address.key else address.certificate
        with without_logs():
            self._client = DICOMwebClient(address.url, session=session, timeout=_PATIENCE)
            self._client.set_http_retry_params(retry=False)

    def find(self, query: SeriesQuery) -> list[FoundSeries]:
        found = []
        with self._sentences():
            for study in self._client.search_for_studies(search_filters=_given(query.study_keys())):
                uid = _text(study, "StudyInstanceUID")
                wanted = _given(query.series_keys())
                for series in self._client.search_for_series(uid, fields=_SERIES, search_filters=wanted):
                    found.append(FoundSeries.of(uid, partial(_text, study), partial(_text, series)))
        return in_order(found)

    def fetch(self, series: FoundSeries, folder: Path, tell: Callable[[int], None]) -> list[Path]:
        files: list[Path] = []
        with self._sentences():
            listed = self._client.search_for_instances(series.study, series.uid)
            for one in listed:
                uid = _text(one, "SOPInstanceUID")
                image = self._client.retrieve_instance(
                    series.study, series.uid, uid, media_types=(("application/dicom", "*"),)
                )
                files.append(folder / f"{len(files) + 1:05d}.dcm")
                image.save_as(files[-1], enforce_file_format=True)
                tell(len(files))
        if not files:
            raise self._failed("delivered nothing of this series")
        return files

    def send(self, files: Sequence[Path], tell: Callable[[int], None]) -> None:
        with self._sentences():
            for number, file in enumerate(files):
                answer = self._client.store_instances([dcmread(file)])
                if answer.get("FailedSOPSequence"):
                    raise self._failed(f"refused file {number + 1} of {len(files)}")
                tell(number + 1)

    @contextmanager
    def _sentences(self) -> Iterator[None]:
        """Turn what the libraries raise, which quotes addresses with patients' numbers in them, into a sentence."""
        try:
            with without_logs():
                yield
        except requests.exceptions.SSLError as error:
            raise self._failed("has a certificate that nobody vouches for; give --authority a PEM file") from error
        except requests.exceptions.HTTPError as error:
            code = None if error.response is None else error.response.status_code
            why = "; it wants a login: put one into ~/.netrc" if code in (401, 403) else ""
            raise self._failed(f"refused (HTTP {code}){why}") from error
        except requests.exceptions.RequestException as error:
            raise self._failed(f"at {self.address.url} cannot be reached; check address and network") from error
        except (ValueError, KeyError, TypeError) as error:
            raise self._failed("answered with something that is no DICOMweb; check its url") from error

    def _failed(self, what: str) -> ArchiveError:
        return ArchiveError(f"the archive {self.address.name} {what}")


def _given(keys: dict[str, str]) -> dict[str, Any]:
    return {keyword: value for keyword, value in keys.items() if value}


def _text(record: dict[str, Any], keyword: str) -> str:
    """Value in DICOM JSON."""
    tag = tag_for_keyword(keyword)
    values = record.get(f"{tag:08X}", {}).get("Value") or [""]
    return "" if values[0] is None else str(values[0])
