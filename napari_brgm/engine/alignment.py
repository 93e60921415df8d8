"""Alignment: where a scan lies against the prior's atlas and grey scale, in numbers that a person can change."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass, fields
from typing import TYPE_CHECKING, Any

from napari_brgm.corruptions import Frame
from napari_brgm.engine.window import Window
from napari_brgm.errors import InputError

if TYPE_CHECKING:
    from napari_brgm.engine.grid import Grid

__all__ = ["Alignment"]

_SCALES = (0.1, 10.0)


@dataclass(frozen=True, slots=True)
class Alignment:
    """Pose and intensity of a slice. Found by ``restore``, told in its provenance, and taken as it is when given.

    Attributes
    ----------
    row, column : float
        Where the centre of the prior's image lies: pixels of the slice as given, down and right from its centre.
    scale : float
        Size of the scan's anatomy relative to the prior's; 1.1: 10 % larger.
    rotation : float
        Degrees by which the scan's anatomy is turned against the prior's, anticlockwise as shown.
    low, high : float
        What is black (0) and white (255) for the prior, in the scan's units.

    Raises
    ------
    InputError
        A number is missing, not finite or out of range.

    Examples
    --------
    >>> found = Alignment(row=3.5, column=-2, scale=1.06, rotation=4, low=0, high=1200)
    >>> Alignment.from_dict(found.as_dict()) == found
    True
    """

    row: float
    column: float
    scale: float
    rotation: float
    low: float
    high: float

    def __post_init__(self) -> None:
        for each in fields(self):
            value = getattr(self, each.name)
            if isinstance(value, bool | str) or not hasattr(value, "__float__") or not math.isfinite(value):
                raise InputError(f"{each.name} of the alignment must be a finite number, got {value!r}")
        if not _SCALES[0] <= self.scale <= _SCALES[1]:
            raise InputError(
                f"scale of the alignment must lie in {_SCALES[0]:g} .. {_SCALES[1]:g} (1: as large as the prior's), "
                f"got {self.scale:g}"
            )
        if not -180 <= self.rotation <= 180:
            raise InputError(f"rotation of the alignment must lie in -180 .. 180 degrees, got {self.rotation:g}")
        if not self.high > self.low:
            raise InputError(f"high of the alignment must be above low, got {self.high:g} and {self.low:g}")

    def as_dict(self) -> dict[str, float]:
        """Plain values that JSON gives back as they are."""
        return {name: float(value) for name, value in asdict(self).items()}

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> Alignment:
        """Read what ``as_dict`` wrote; other keys (``fitted`` in a provenance) are passed over.

        Raises
        ------
        InputError
            A number is missing or cannot be used.
        """
        names = [each.name for each in fields(cls)]
        missing = [name for name in names if name not in values]
        if missing:
            raise InputError(f"the alignment lacks {', '.join(missing)}; it needs {', '.join(names)}")
        return cls(**{name: values[name] for name in names})

    @property
    def window(self) -> Window:
        return Window(self.low, self.high)

    def frame(self, grid: Grid) -> Frame:
        """The frame of the slice as given (``grid.plane``)."""
        middle = (grid.resolution - 1) / 2
        return Frame(
            shape=grid.plane,
            resolution=grid.resolution,
            ratio=(grid.ratio[0] / self.scale, grid.ratio[1] / self.scale),
            centre_native=((grid.plane[0] - 1) / 2 + self.row, (grid.plane[1] - 1) / 2 + self.column),
            centre_frame=(middle, middle),
            rotation=self.rotation,
        )

    @classmethod
    def of(cls, frame: Frame, window: Window, grid: Grid) -> Alignment:
        """The alignment of a frame of the restored pixels (``grid.fine``)."""
        middle = (frame.resolution - 1) / 2
        row, column = (float(x) for x in frame.out_of_frame(middle, middle))
        f = grid.factor
        return cls(
            row=(row + 0.5) / f[0] - 0.5 - (grid.plane[0] - 1) / 2,  # half a pixel: outer edges coincide
            column=(column + 0.5) / f[1] - 0.5 - (grid.plane[1] - 1) / 2,
            scale=grid.ratio[0] / (frame.ratio[0] * f[0]),
            rotation=frame.rotation,
            low=window.low,
            high=window.high,
        )
