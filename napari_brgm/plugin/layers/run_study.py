"""RunStudy: what of a run becomes one result as DICOM (``scans/dicom_study.py``), as the shell writes it."""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Self

import numpy as np

from napari_brgm.plugin.layers.file_names import is_estimate, named_part
from napari_brgm.plugin.layers.pinned import pinned_voxel
from napari_brgm.plugin.layers.posterior_files import RunPosterior, mask_of
from napari_brgm.plugin.layers.scans import scan_of
from napari_brgm.plugin.layers.shown import stored

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path

    import numpy.typing as npt
    from napari.layers import Image

    from napari_brgm.scan import Scan

__all__ = ["RunStudy"]

_SPREADS = ("std", "variance")  # roles of layers that the map of the standard deviation stands for
_LONGEST = 1 << 16  # characters of the records of single slices: each file of the series holds them


@dataclass(frozen=True, slots=True, eq=False)
class RunStudy:
    """An image, its spread, and where it is synthetic.

    Attributes
    ----------
    base : Image
        The estimate.
    spreads : tuple of Image
        Layers of its standard deviation and variance, as far as there are any.
    posterior : RunPosterior or None
        None: of the run there are the layers only.
    """

    base: Image
    spreads: tuple[Image, ...]
    posterior: RunPosterior | None

    @classmethod
    def of(cls, layers: Sequence[Image]) -> Self | None:
        """That of the layers of a run; None where their image is not among them, or what of it is synthetic is unknown.

        Raises
        ------
        InputError
            Its layers cannot be files.
        """
        image = next((layer for layer in layers if is_estimate(layer)), None)
        if image is None:
            return None
        spreads = [layer for layer in layers if _role(layer) in _SPREADS and layer.data.shape == image.data.shape]
        posterior = RunPosterior.of(layers)
        known = posterior is not None or spreads or image.metadata["brgm"].get("role") != "restored"
        return cls(image, tuple(spreads), posterior) if known else None

    @property
    def layers(self) -> tuple[Image, ...]:
        """All that it stands for."""
        return self.base, *self.spreads

    def name(self, number: int) -> str:
        """Of its folder, for the ``number``-th run of its kind."""
        return named_part(self.base, number, "Dicom", "")

    def mask(self) -> Scan | None:
        """Where the image is synthetic, as a scan of booleans: of layers alone where they have a spread; None: all."""
        if self.posterior is not None:
            return self.posterior.mask()
        return mask_of(self.base, np.asarray(stored(self.spreads[0])) > 0) if _role(self.base) == "restored" else None

    def write(self, path: Path, number: int, tell: Callable[[str, int, int | None], None]) -> None:
        """Write the folder; errors as ``write_study``."""
        from napari_brgm.scans.dicom_study import write_study

        estimate = scan_of(self.base)
        record, pinned = _shortened(estimate.provenance or {}), pinned_voxel(self.layers)
        estimate = replace(estimate, provenance=record if pinned is None else record | {"pinned": list(pinned)})
        write_study(estimate, self._std(), self._synthetic(estimate), path, number=number, tell=tell)

    def _std(self) -> Scan | None:
        """In the units of the image; None: nothing is known of it."""
        known = {_role(layer): layer for layer in self.spreads}
        if "std" in known or not known:
            return scan_of(known["std"]) if known else None
        variance = scan_of(known["variance"])
        return replace(variance, array=np.sqrt(np.asarray(variance.array, np.float32)))

    def _synthetic(self, estimate: Scan) -> npt.NDArray[np.bool_]:
        mask = self.mask()
        return np.ones(estimate.shape, bool) if mask is None else np.asarray(mask.array, bool)


def _shortened(record: Mapping[str, Any]) -> dict[str, Any]:
    """A record whose slices say where they are, and the rest only where all of it is short."""
    slices = [one for one in record.get("slices") or () if isinstance(one, dict)]
    if len(slices) < 2 or len(json.dumps(slices)) < _LONGEST:
        return dict(record)
    return {**record, "slices": [{"index": one.get("index")} for one in slices]}


def _role(layer: Image) -> str:
    return str((layer.metadata.get("brgm") or {}).get("role") or "")
