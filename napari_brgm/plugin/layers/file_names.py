"""Names of the files of a run: BIDS derivatives, the estimate first in any order of a folder.

sub-01_desc-brgmInpaintEstimate_T1w.nii.gz     High, Low, Mask, Samples, Std, Variance: after it
sub-01_desc-brgmInpaint2Estimate_T1w.nii.gz    of the next run
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from napari_brgm.plugin.layers.naming import name_of_source
from napari_brgm.plugin.layers.scans import scan_record, source_of
from napari_brgm.scans.names import ESTIMATE, derivative_name, series_label

if TYPE_CHECKING:
    from collections.abc import Sequence

    from napari.layers import Image

__all__ = ["images_of", "is_estimate", "named_part", "source_name"]

_TASKS = {"in-paint": "brgmInpaint", "super-resolve": "brgmSuperres", "clean": "brgmClean"}
_ESTIMATE = ("restored", "cleaned")  # roles of the image itself; on a finer grid that is its factor
_NAMELESS = ("", "drawn")


def images_of(layers: Sequence[Image], number: int, ending: str = ".nii.gz") -> list[str]:
    """A name for each layer of the ``number``-th run of its kind in a folder, each another one."""
    names: list[str] = []
    for layer in layers:
        role = str((layer.metadata.get("brgm") or {}).get("role") or "")
        part = ESTIMATE if is_estimate(layer) else "" if role in _NAMELESS else _camel(role)
        name, copy = named_part(layer, number, part, ending), 2
        while name in names:  # copies of a layer
            name, copy = named_part(layer, number, f"{part}Copy{copy}", ending), copy + 1
        names.append(name)
    return names


def is_estimate(layer: Image) -> bool:
    """Whether a layer is the image of its run."""
    role = str((layer.metadata.get("brgm") or {}).get("role") or "")
    return role in _ESTIMATE or (role[:1] == "x" and role[1:2].isdigit())


def named_part(layer: Image, number: int, part: str, ending: str) -> str:
    """Name of one file of the run of a layer."""
    task = _TASKS.get(str((layer.metadata.get("brgm") or {}).get("task")), "brgm")
    return derivative_name(source_name(layer), f"{task}{number if number > 1 else ''}{part}", ending)


def source_name(layer: Image) -> str:
    """Stem for the files of a layer: its source's file, its DICOM series' number, or else the source layer's name."""
    label = series_label(scan_record(layer).get("header"))
    if label is not None:
        return label.replace(" ", "-")
    record: dict[str, Any] = layer.metadata.get("brgm") or {}
    source, name = source_of(layer), str(record.get("source_layer") or name_of_source(layer.name))
    if source is not None and source.suffix and not source.is_dir():
        name = re.sub(r"(\.nii)?(\.gz)?$|\.dcm$", "", source.name, flags=re.IGNORECASE) or name
        name = re.sub(r"_desc-brgm[A-Za-z0-9]*_image$", "", name)  # of a result
        return re.sub(r"[^A-Za-z0-9_.-]+", "-", name).strip("-.") or "scan"
    return re.sub(r"[^A-Za-z0-9-]+", "-", name).strip("-") or "scan"


def _camel(words: str) -> str:
    return "".join(word[:1].upper() + word[1:] for word in re.findall(r"[A-Za-z0-9]+", words))
