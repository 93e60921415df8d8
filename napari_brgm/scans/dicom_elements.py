"""Elements: what a DICOM file says about one of its frames, wherever it stands.

In an enhanced file that is the frame's functional group, then the shared one; the top level is for all others.

Source: DICOM PS3.3 C.7.6.16 (multi-frame functional groups).
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
from pydicom.multival import MultiValue

from napari_brgm.errors import ScanError
from napari_brgm.text import shortened

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from pydicom.dataset import Dataset

__all__ = ["Elements", "FileElements", "number_of", "printable"]

_LONGEST = 128  # characters of a word that is shown; DICOM allows 64


def number_of(value: Any) -> float | None:
    """Finite number in an element's value, or the first of several; None where there is none."""
    if isinstance(value, MultiValue | list):
        value = value[0] if len(value) else None
    try:
        number = float(value)
    except (TypeError, ValueError):
        return None
    return number if math.isfinite(number) else None


def printable(value: Any) -> str:
    r"""Words of an element as they may be shown: on one line, without what a screen would obey; '' for None.

    Examples
    --------
    >>> printable("t1\x1b[31m  mprage\r\n")
    't1\\x1b[31m mprage'
    """
    return "" if value is None else shortened(value, _LONGEST)


class FileElements:
    """Elements of a file that are the same for all of its frames, each looked up once.

    Parameters
    ----------
    dataset : Dataset
    shared : sequence of Dataset
        Functional groups of all frames.
    name : str
        Of the file, for errors.
    """

    __slots__ = ("_found", "dataset", "name", "shared")

    def __init__(self, dataset: Dataset, name: str, shared: Sequence[Dataset] = ()) -> None:
        self.dataset, self.name = dataset, name
        self.shared = [_items(group) for group in shared]
        self._found: dict[object, Any] = {}

    def top(self, keyword: str) -> Any:
        """Value at the top level, as ``Dataset.get`` gives it."""
        return self.once(keyword, lambda: self.dataset.get(keyword))

    def once(self, what: object, look: Callable[[], Any]) -> Any:
        """What ``look`` finds, when it is asked for ``what`` the first time."""
        if what not in self._found:
            self._found[what] = look()
        return self._found[what]


class Elements:
    """Look-up in the groups of one frame.

    Parameters
    ----------
    file : FileElements
    number : int
        Of the frame, from 0.
    group : Dataset, optional
        Functional groups of the frame itself.
    """

    __slots__ = ("dataset", "file", "groups", "name", "number")

    def __init__(self, file: FileElements, number: int = 0, group: Dataset | None = None) -> None:
        self.file, self.dataset, self.name, self.number = file, file.dataset, file.name, number
        self.groups = [_items(group), *file.shared] if group is not None else file.shared

    def item(self, sequence: str) -> Dataset | None:
        """First item of a sequence, in the groups or at the top level."""
        for items in self.groups:
            if sequence in items:
                return items[sequence]
        several = self.file.top(sequence)
        return several[0] if several else None

    def find(self, sequence: str, keyword: str) -> Any:
        """Value of an element in a functional group, else at the top level; None where it is nowhere, or empty.

        Raises
        ------
        ScanError
            It stands there and cannot be read.
        """
        try:
            for items in self.groups if sequence else ():
                if sequence in items:
                    value = items[sequence].get(keyword)
                    if value is not None and value != "":
                        return value
            value = self.file.top(keyword)
        except Exception as error:  # pydicom raises almost anything on odd values
            raise ScanError(f"{self.name} has a {keyword} that cannot be read; export it again") from error
        return None if value == "" else value

    def number_at(self, sequence: str, keyword: str) -> float | None:
        """Number that an image can do without: None also where it cannot be read."""
        try:
            return number_of(self.find(sequence, keyword))
        except ScanError:
            return None

    def word(self, sequence: str, keyword: str) -> str:
        """Text that an image can do without, in one line; '' also where it cannot be read."""
        try:
            value = self.find(sequence, keyword)
        except ScanError:
            return ""
        if value is None:
            return ""
        return " ".join(str(part) for part in value) if isinstance(value, MultiValue | list) else str(value)

    def numbers(self, sequence: str, keyword: str, count: int) -> npt.NDArray[np.float64] | None:
        """As many numbers.

        Raises
        ------
        ScanError
            Something else stands there.
        """
        value = self.find(sequence, keyword)
        if value is None or (isinstance(value, MultiValue | list) and not len(value)):
            return None
        try:
            array = np.array([float(part) for part in value])
        except (TypeError, ValueError):
            array = np.empty(0)
        if len(array) != count or not np.isfinite(array).all():
            raise ScanError(f"{self.name} has a {keyword} that is not {count} numbers; export it again")
        return array

    def vector_at(self, keyword: str) -> float | None:
        """Number of the frame in a vector of the file that has one for each; None where it is missing."""
        try:
            value = self.file.top(keyword)
        except Exception:  # odd values
            return None
        several = value if isinstance(value, MultiValue | list) else [value]
        return number_of(several[self.number]) if value is not None and self.number < len(several) else None


def _items(group: Dataset) -> dict[str, Dataset]:
    """First item of each sequence in a functional group, by keyword."""
    found = {}
    for element in group:
        if element.VR == "SQ" and element.keyword and element.value:
            found[element.keyword] = element.value[0]
    return found
