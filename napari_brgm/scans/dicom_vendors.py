"""What makers write into private elements where the standard's own are missing: diffusion and spin labelling.

Source: the DICOM conformance statements of the makers, as collected by dcm2niix (Siemens MR HEADER, GEMS_PARM_01 and
GEMS_ACQU_01, Philips Imaging and MR Imaging DD, United Imaging's Image Private Header).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from pydicom.multival import MultiValue

from napari_brgm.scans.dicom_elements import number_of

if TYPE_CHECKING:
    from pydicom.dataset import Dataset

__all__ = ["private_b_value", "private_gradient", "private_label", "private_value"]

_BLOCKS = 0xF0  # creators stand in (gggg,0010) to (gggg,00FF)
_GE_FLAG = 10**8  # some GE software adds multiples of it to b

# group, creator, elements
_B_VALUES = (
    (0x0019, "SIEMENS MR HEADER", (0x0C,)),
    (0x0043, "GEMS_PARM_01", (0x39,)),
    (0x2001, "Philips Imaging DD 001", (0x03,)),
    (0x0065, "Image Private Header", (0x09,)),
)
_GRADIENTS = (
    (0x0019, "SIEMENS MR HEADER", (0x0E,)),
    (0x0019, "GEMS_ACQU_01", (0xBB, 0xBC, 0xBD)),
    (0x2005, "Philips MR Imaging DD 001", (0xB0, 0xB1, 0xB2)),
    (0x0065, "Image Private Header", (0x37,)),
)
_LABEL = (0x2005, "Philips MR Imaging DD 005", 0x29)  # CONTROL or LABEL


def private_value(dataset: Dataset, group: int, creator: str, element: int) -> Any:
    """Value of a private element; None where there is none, or one that cannot be read."""
    first = group << 16 | 0x10
    try:  # pydicom's private_block sorts all tags for each question
        for tag in [tag for tag in map(int, dataset.keys()) if 0 <= tag - first < _BLOCKS]:
            if str(dataset[tag].value).strip() == creator:
                wanted = group << 16 | (tag & 0xFF) << 8 | element
                return dataset[wanted].value if wanted in dataset else None
    except Exception:  # odd values
        pass
    return None


def private_b_value(dataset: Dataset) -> float | None:
    """Find b, in s/mm²."""
    for group, creator, (element, *_) in _B_VALUES:
        found = _numbers(private_value(dataset, group, creator, element))
        if found:
            return found[0] % _GE_FLAG if creator.startswith("GEMS") else found[0]
    return None


def private_gradient(dataset: Dataset) -> tuple[float, ...] | None:
    """Direction of the gradient, three numbers in the maker's own axes."""
    for group, creator, elements in _GRADIENTS:
        parts = [_numbers(private_value(dataset, group, creator, element)) for element in elements]
        found = parts[0] if len(parts) == 1 else [part[0] for part in parts if part]
        if len(found) == 3:
            return tuple(found)
    return None


def private_label(dataset: Dataset) -> str:
    """Whether the blood was labelled, in the maker's words; '' where unknown."""
    value = private_value(dataset, *_LABEL)
    return (value.decode("ascii", "replace") if isinstance(value, bytes) else str(value or "")).strip("\0 ")


def _numbers(value: Any) -> list[float]:
    """Numbers of an element; one that went through implicit VR has bytes: text, or doubles."""
    if isinstance(value, bytes):
        try:
            value = value.decode("ascii").strip("\0 ").split("\\")
        except ValueError:
            value = np.frombuffer(value, "<f8").tolist() if len(value) % 8 == 0 else []
    several = value if isinstance(value, MultiValue | list) else [value]
    found = [number_of(part) for part in several]
    return [part for part in found if part is not None] if None not in found else []
