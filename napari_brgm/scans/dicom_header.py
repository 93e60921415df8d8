"""DicomHeader: the datasets a scan was read from, and which of their frames lies at which slice and time."""

from __future__ import annotations

from typing import TYPE_CHECKING, Self

from pydicom.dataset import Dataset

if TYPE_CHECKING:
    from collections.abc import Iterable

    from napari_brgm.scans.dicom_series import ImageStack

__all__ = ["DicomHeader"]


class DicomHeader(tuple[Dataset, ...]):
    """Datasets without pixels, each once, in the order of the scan's slices and times.

    Attributes
    ----------
    stack : ImageStack or None
        ``stack.frames[t][k]`` is the source of slice k at time t.
    """

    stack: ImageStack | None

    def __new__(cls, datasets: Iterable[Dataset], stack: ImageStack | None = None) -> Self:
        made = super().__new__(cls, tuple(datasets))
        made.stack = stack
        return made
