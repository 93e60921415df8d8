"""The descent as an animation: the slice as given, what the generator draws on its way, and the result.

Few and small frames, whatever the slice and the number of steps. They say what they show and nothing of whom: neither
names nor metadata go into the file.
"""

from __future__ import annotations

import io
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import Image, ImageDraw, ImageFont, features

from napari_brgm.errors import InputError
from napari_brgm.scans.picture_export import write_encoded

if TYPE_CHECKING:
    from collections.abc import Callable

    import numpy.typing as npt

    from napari_brgm.cli.source import Piece
    from napari_brgm.inference.step import Step

__all__ = ["FRAMES", "DescentVideo", "check_animation"]

FRAMES = 48  # at most, with the first and the last
_SIDE, _LEAST_SIDE = 512, 256  # pixels of the longer side of a frame: at most, and what smaller ones are enlarged to
_STRIP = 18  # pixels of the caption below
_MISSING = (237, 89, 77)
_FIRST_MS, _EACH_MS, _LAST_MS = 1000, 100, 2500
_FORMATS = {".gif": "GIF", ".webp": "WEBP", ".apng": "PNG", ".png": "PNG"}


def check_animation(path: Path) -> None:
    """Look whether an animation of this name can be written.

    Raises
    ------
    InputError
        Its suffix is that of another kind of file, or Pillow was built without it.
    """
    if path.suffix.lower() not in _FORMATS:
        raise InputError(f"--save-video writes .gif, .webp or .apng, not {path.name}; choose one of these suffixes")
    if path.suffix.lower() == ".webp" and not features.check("webp"):
        raise InputError("this machine's Pillow writes no WebP; choose --save-video with .gif or .apng")


class DescentVideo:
    """Collects frames of one slice.

    Parameters
    ----------
    piece : Piece
        As given.
    missing : (H, W) bool ndarray or None
        Painted in red on the first frame.
    given : str
        What the first frame is called.
    notice : str
        At the end of each caption.
    placed : callable or None
        Gives what is to be seen of a preview (H', W'), such as a brain in its head; None: the preview.
    """

    def __init__(
        self, piece: Piece, missing: npt.NDArray[np.bool_] | None, given: str, notice: str = "not for diagnosis",
        placed: Callable[[npt.NDArray[Any]], npt.NDArray[Any]] | None = None,
    ) -> None:  # fmt: skip
        self._notice, self._placed = notice, placed
        seen = piece.image[
            np.isfinite(piece.image) if missing is None else np.isfinite(piece.image) & ~_as(missing, piece.image)
        ]
        self._low, self._high = (float(seen.min()), float(np.percentile(seen, 99.8))) if seen.size else (0.0, 1.0)
        height, width = piece.image.shape[:2]
        rows, columns = piece.spacing or (1.0, 1.0)
        tall, wide = height * rows, width * columns
        side = min(_SIDE, max(_LEAST_SIDE, height, width))
        self._size = tuple(max(round(side * length / max(tall, wide)), 1) for length in (wide, tall))
        first = self._levels(piece.image)
        if missing is not None:
            first = np.array(np.broadcast_to(first[..., None] if first.ndim == 2 else first, (*missing.shape, 3)))
            first[missing] = _MISSING
        self._first = self._frame(first, given, Image.Resampling.NEAREST)
        self._between: list[Image.Image] = []
        self._every, self._told = 1, 0

    def tell(self, step: Step) -> None:
        """Keep the preview of a step, if it has one; where there are too many, every other of them goes."""
        if step.preview is None:
            return
        self._told += 1
        if (self._told - 1) % self._every:
            return
        shown = step.preview if self._placed is None else self._placed(step.preview)
        self._between.append(self._frame(self._levels(shown), f"step {step.iteration}: synthetic"))
        if len(self._between) > FRAMES - 2:
            self._between = self._between[::2]
            self._every *= 2

    def save(self, path: Path, restored: npt.NDArray[Any]) -> None:
        """Write the animation, with the restored image (H', W'[, 3]) at its end.

        Raises
        ------
        OutputError
            The file cannot be written.
        """
        frames = [self._first, *self._between, self._frame(self._levels(restored), "restored: synthetic")]
        shown = [_FIRST_MS, *[_EACH_MS] * len(self._between), _LAST_MS]
        kind = _FORMATS[path.suffix.lower()]
        encoded, exact = io.BytesIO(), {"lossless": True} if kind == "WEBP" else {}
        frames[0].save(encoded, kind, save_all=True, append_images=frames[1:], duration=shown, loop=0, **exact)
        write_encoded(path, encoded.getbuffer())

    def _levels(self, image: npt.NDArray[Any]) -> npt.NDArray[np.uint8]:
        scaled = (np.nan_to_num(image.astype(np.float32), nan=self._low) - self._low) / max(
            self._high - self._low, 1e-30
        )
        return (255 * scaled.clip(0, 1)).round().astype(np.uint8)

    def _frame(
        self, levels: npt.NDArray[np.uint8], caption: str, resampling: Image.Resampling = Image.Resampling.BICUBIC
    ) -> Image.Image:
        width, height = self._size
        frame = Image.new("RGB", (max(width, _LEAST_SIDE), height + _STRIP))
        shown = Image.fromarray(levels).convert("RGB").resize((width, height), resampling)
        frame.paste(shown, ((frame.width - width) // 2, 0))
        ImageDraw.Draw(frame).text(
            (4, height + 3), f"{caption}, {self._notice}", fill=(230, 230, 230), font=ImageFont.load_default()
        )
        return frame


def _as(flags: npt.NDArray[np.bool_], image: npt.NDArray[Any]) -> npt.NDArray[np.bool_]:
    return np.broadcast_to(flags if image.ndim == 2 else flags[..., None], image.shape)
