"""OwnScans: a person's own scans in the place of a held-out set, in the frame of a prior."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Literal, get_args

from napari_brgm.datasets import Framing, read_slices
from napari_brgm.errors import ScanError
from napari_brgm.evaluation.held_out import HeldOutSet
from napari_brgm.scan import Plane

if TYPE_CHECKING:
    from pathlib import Path

    from napari_brgm.datasets import SliceSet
    from napari_brgm.priors.prior import Prior

__all__ = ["OWN", "OwnScans"]

OWN = "own"  # how the names of such sets begin
_ASSUMED = "no image says how large its pixels are: {:g} mm is assumed, as the prior has it; --pixel-mm says otherwise"


@dataclass(frozen=True, slots=True)
class OwnScans(HeldOutSet):
    """Images, NIfTI files or DICOM series of a folder; there are no training slices beside them.

    Attributes
    ----------
    plane : {'axial', 'coronal', 'sagittal'}
        That volumes are cut in.
    rotation : float
        Degrees, 0 or 180, by which the prior's images are turned against the usual view; volumes are turned likewise.
    sized : bool
        Whether somebody has said how large the pixels of plain images are.
    """

    plane: Plane = "axial"
    rotation: float = 0.0
    sized: bool = True

    @classmethod
    def of(cls, prior: Prior, pixel_mm: float | None = None) -> OwnScans:
        """In the frame of a prior; ``pixel_mm``: pixel size of plain images, None: the prior's own."""
        info = prior.info
        spacing = info.spacing_mm
        millimetres = pixel_mm or spacing or 1.0
        plane: Plane = next((one for one in get_args(Plane) if one == info.plane.lower()), "axial")
        return cls(
            f"{OWN}-{prior.resolution}", "scans of one's own", "", "", "", Framing(prior.resolution, spacing),
            (millimetres, millimetres), (), (), None, plane, info.rotation,
            pixel_mm is not None or not spacing,
        )  # fmt: skip

    def archive(self, data: Path, part: Literal["training", "validation"]) -> Path:
        """The folder itself; training slices: a place where nothing is."""
        return data if part == "validation" else data / "no-training-slices"

    def read(self, data: Path, part: Literal["training", "validation"]) -> SliceSet:
        """Read every slice, turned as the prior's images are.

        Raises
        ------
        ScanError
            Nothing there can be read, or its images are in colour.
        """
        found = read_slices(self.archive(data, part), self.framing, pixel_mm=self.pixel_mm, plane=self.plane)
        if found.images.shape[1] != 1:
            raise ScanError(f"{data} holds colour images; priors are measured on grey ones")
        if not self.sized and not found.windows:
            found = replace(found, notes=(*found.notes, _ASSUMED.format(self.pixel_mm[0])))
        turned = bool(found.windows) and self.rotation == 180  # plain images are taken as they are
        return replace(found, images=found.images[..., ::-1, ::-1].copy()) if turned else found
