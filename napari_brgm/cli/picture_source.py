"""A picture as the one slice that it is: PNG for PNG and JPEG, TIFF for TIFF, and its variance as TIFF of floats."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from napari_brgm.cli.masks import one_mask
from napari_brgm.cli.source import Piece
from napari_brgm.cli.terminal import say_note
from napari_brgm.errors import InputError
from napari_brgm.scans.picture_export import write_levels, write_picture
from napari_brgm.scans.picture_file import FORMATS
from napari_brgm.scans.record import json_text, sidecar_of
from napari_brgm.text import file_stem, plain_text

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence, Set
    from pathlib import Path
    from typing import Self

    import numpy.typing as npt

    from napari_brgm.cli.masks import MaskRules, SliceMasks
    from napari_brgm.cli.source import Result
    from napari_brgm.priors.info import PriorInfo
    from napari_brgm.scans.picture import Picture

__all__ = ["PictureSource"]

_TITLE = "the picture"


@dataclass(frozen=True, slots=True, eq=False)
class PictureSource:
    """A ``Source`` of pictures.

    Attributes
    ----------
    picture : Picture
    spacing : (float, float) or None
        Pixel size (row, column), mm; None: not known.
    """

    picture: Picture
    spacing: tuple[float, float] | None

    @classmethod
    def for_prior(cls, picture: Picture, spacing: tuple[float, float] | None, prior: PriorInfo) -> Self:
        """The picture as this prior sees it: where nobody knows its pixels, they are as large as the prior's."""
        if spacing is None and prior.anatomy and prior.spacing_mm:
            say_note(
                f"{picture.name} does not say how large its pixels are, and the restored ones are taken to be as "
                f"large as those of {prior.name}, {prior.spacing_mm:g} mm; give the picture's with --pixel-mm"
            )
        return cls(picture, spacing)

    @property
    def name(self) -> str:
        return self.picture.name

    @property
    def stem(self) -> str:
        return file_stem(self.picture.name, "picture")

    @property
    def label(self) -> str:
        return plain_text(self.picture.file)

    @property
    def units(self) -> str:
        return self.picture.units

    @property
    def extensions(self) -> tuple[str, str]:
        return ".tif" if self.picture.kind == "TIFF" else ".png", ".tif"

    @property
    def index(self) -> int | None:
        return None

    @property
    def count(self) -> int:
        return 1

    @property
    def record(self) -> dict[str, Any]:
        return {"pixel_mm": None if self.spacing is None else list(self.spacing)}

    def piece(self, index: int) -> Piece:
        return Piece(self.picture.pixels, self.spacing, _TITLE, "Picture", index)

    def stack(self, pieces: Sequence[Piece], seen: Callable[[int], npt.NDArray[Any]], spoilt: Set[int]) -> None:
        return None

    def masks(self, path: Path, rules: MaskRules) -> SliceMasks:
        if not path.is_file():
            raise InputError(f"there is no mask file {path.name}; check the path")
        if path.suffix.lower().removeprefix(".") not in ("npy", *FORMATS):
            raise InputError(f"the mask of a picture is a picture or an NPY file, not {path.name}; save it as PNG")
        height, width = self.picture.pixels.shape[:2]
        return one_mask(path, (height, width), 0, _TITLE, rules)

    def write(
        self, done: Sequence[Result], image: tuple[Path, dict[str, Any]], spread: tuple[Path, dict[str, Any]] | None
    ) -> None:
        (one,) = done
        kind = self.picture.pixels.dtype
        path, record = image
        if kind.kind != "f":
            say_note(
                f"restored pixels are rounded to whole {self.units} in {path.name}; the .safetensors file holds "
                "them as they are"
            )
        write_picture(path, one.restored.estimate, kind, record["Description"])
        sidecar_of(path).write_text(json_text(record), encoding="utf-8")
        if spread is not None:
            path, record = spread
            write_levels(path, one.restored.variance, record["Description"])
            sidecar_of(path).write_text(json_text(record), encoding="utf-8")

    def place(self, one: Result) -> dict[str, Any]:
        # columns and rows are the first axes of a file of one slice, as those of a scan are
        return {"index": [None, None, 0], "turned": [True, False, False]}
