"""Treatment: what happened to slices, and what is done about it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    import numpy as np
    import numpy.typing as npt

    from napari_brgm.cli.source import Piece, Source
    from napari_brgm.corruptions import Corruption
    from napari_brgm.engine.head import Head
    from napari_brgm.engine.second_scan import SecondScan
    from napari_brgm.scans.strip import Brain

__all__ = ["SYNTHETIC_WHERE_RESTORED", "Treatment"]

SYNTHETIC_WHERE_RESTORED = "synthetic where restored, not for diagnosis"


@dataclass(frozen=True, slots=True, eq=False)
class Treatment:
    """What happened to slices, what is done about it, and how the files say it.

    Attributes
    ----------
    name : str
        Of the files, such as 'brgmSuperres'.
    done : str
        Such as 'super-resolved'.
    corruptions : mapping of int to callable
        By slice index.
    missing : mapping of int to (H, W) bool array
        In-painting: true where missing. The results are then put back into the volume.
    factor : (float, float)
        Pixels of the result per pixel of the slice, rows and columns.
    noise_sigma : float or None
        In the source's units.
    truth : mapping of int to (H', W'[, 3]) array
        What slices should become, where that is known: for the sheet, and for the errors in the records.
    observed : mapping of int to (h, w[, 3]) array
        What is restored in place of the source's own slices, which are clean.
    trial : bool
        Whether pixels that are known were corrupted on purpose.
    mask : mapping
        How the mask was read, for the records.
    given : str
        What the slice was, over its picture.
    brain : callable or None
        Of a whole head: gives the brain (H, W) of a slice by its index, inside which alone it is restored.
    alone : bool
        Whether each slice is restored by itself, and not with what its neighbours measured.
    spoilt : frozenset of int
        Slices that neighbours of theirs cannot rely on.
    notice : str
        Under the sheet's title, and at the end of the records' descriptions.
    second : mapping of int to SecondScan
        What another scan saw of slices.
    """

    name: str
    done: str
    corruptions: Mapping[int, Callable[[], Corruption]]
    missing: Mapping[int, npt.NDArray[np.bool_]] = field(default_factory=dict)
    factor: tuple[float, float] = (1.0, 1.0)
    noise_sigma: float | None = None
    truth: Mapping[int, npt.NDArray[Any]] = field(default_factory=dict)
    observed: Mapping[int, npt.NDArray[Any]] = field(default_factory=dict)
    trial: bool = False
    mask: Mapping[str, Any] = field(default_factory=dict)
    given: str = "measured"
    brain: Callable[[int], Brain] | None = None
    alone: bool = True
    spoilt: frozenset[int] = frozenset()
    notice: str = SYNTHETIC_WHERE_RESTORED
    second: Mapping[int, SecondScan] = field(default_factory=dict)

    @property
    def texts(self) -> tuple[str, str]:
        """Descriptions of the image and of its variance."""
        where = " inside the brain" if self.brain is not None else ""
        if self.missing:
            image = f"{self.done}{where} by a generative model; pixels outside the mask are as measured"
            spread = "posterior variance of the in-painted pixels; 0 where measured, and in slices that were left as is"
        else:
            image = f"{self.done}{where} by a generative model"
            spread = f"posterior variance of the slice, {self.done}{where}"
        return f"{image}; {self.notice}", f"{spread}; {self.notice}"

    def piece(self, source: Source, index: int) -> Piece:
        """The slice that is restored."""
        piece = source.piece(index)
        return piece if index not in self.observed else piece.seen_as(self.observed[index], self.factor)

    def seen(self, source: Source) -> Callable[[int], npt.NDArray[Any]]:
        """Give what the prior sees of a slice that was measured throughout, by its index."""

        def image(index: int) -> npt.NDArray[Any]:
            piece = source.piece(index)
            head = self.head(piece)
            return piece.image if head is None else head.stripped

        return image

    def head(self, piece: Piece) -> Head | None:
        """The slice as that of a whole head of which the prior sees the brain only; None where nothing is stripped."""
        if self.brain is None:
            return None
        from napari_brgm.engine.head import Head

        return Head(piece.image, self.brain(piece.index), self.missing.get(piece.index))
