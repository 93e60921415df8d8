"""Page: a picture on which panels with axes, colour bars and texts are drawn, by Pillow.

Matplotlib's axes and its layout take 5 s of a core for a sheet of six rows, more than a quick restoration; this takes
a twentieth of that.
"""

from __future__ import annotations

import io
import math
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import Image, ImageDraw, ImageFont
from PIL.PngImagePlugin import PngInfo

from napari_brgm.scans.picture_export import write_encoded
from napari_brgm.text import shortened

if TYPE_CHECKING:
    import numpy.typing as npt

__all__ = ["Page", "grey_levels", "spread_colours"]

_DPI = 110
_LEAST = 9  # pixels that a letter is high
_TICK, _SMALL = 4, 11  # pixels: length of a tick, height of its number
_STEPS = (1.0, 2.0, 2.5, 5.0, 10.0)
_MISSING = (237, 89, 77)
_QUICK = 3  # zlib's level: a fifth larger than its default, three times as quick


class Page:
    """A white page, in pixels.

    Parameters
    ----------
    width, height : int
    """

    def __init__(self, width: int, height: int) -> None:
        self.image = Image.new("RGB", (width, height), "white")
        self._draw = ImageDraw.Draw(self.image)

    def text(
        self, at: tuple[float, float], text: str, size: float, room: float, anchor: str = "mm", *, upwards: bool = False
    ) -> None:  # fmt: skip
        """Write a line no longer than ``room``: in smaller letters, and if those are too small shortened.

        ``anchor`` as Pillow has it; of an upright line its middle is at ``at``.
        """
        long = _font(size).getlength(text)
        if long > room:
            size = max(size * room / long, _LEAST)
            text = shortened(text, max(int(len(text) * room / _font(size).getlength(text)), 4))
        font = _font(round(size, 1))
        if not upwards:
            self._draw.text(at, text, fill="black", font=font, anchor=anchor)
            return
        line = Image.new("L", (math.ceil(font.getlength(text)) + 2, math.ceil(1.5 * size)))
        ImageDraw.Draw(line).text((1, line.height / 2), text, fill=255, font=font, anchor="lm")
        line = line.transpose(Image.Transpose.ROTATE_90)
        self.image.paste("black", (round(at[0] - line.width / 2), round(at[1] - line.height / 2)), line)

    def panel(
        self, colours: npt.NDArray[np.uint8], box: tuple[int, int, int, int], spacing: tuple[float, float],
        missing: npt.NDArray[np.bool_] | None = None, *, axes: bool = True,
    ) -> tuple[int, int, int, int]:  # fmt: skip
        """Show pixels (H, W, 3) as large as they fit into a box, with axes in units of ``spacing``; gives their place.

        ``missing`` (H, W) is painted over in red.
        """
        left, top, right, bottom = box
        tall, wide = colours.shape[0] * spacing[0], colours.shape[1] * spacing[1]
        scale = min((right - left) / wide, (bottom - top) / tall)
        size = max(round(wide * scale), 1), max(round(tall * scale), 1)
        x, y = left + (right - left - size[0]) // 2, top + (bottom - top - size[1]) // 2
        enlarged = min(size[0] / colours.shape[1], size[1] / colours.shape[0])
        shown = Image.fromarray(colours)
        self.image.paste(
            shown.resize(size, Image.Resampling.NEAREST if enlarged >= 3 else Image.Resampling.HAMMING), (x, y)
        )
        if missing is not None:
            self.image.paste(
                _MISSING, (x, y), Image.fromarray(missing.astype(np.uint8) * 255).resize(size, Image.Resampling.NEAREST)
            )
        place = x, y, x + size[0], y + size[1]
        if axes:
            self._frame(place)
            for value in _ticks(0.0, wide):
                self._tick((x + value * scale, place[3]), f"{value:g}", down=True)
            for value in _ticks(0.0, tall):
                self._tick((x, y + value * scale), f"{value:g}")
        return place

    def bar(
        self, colours: npt.NDArray[np.uint8], limits: tuple[float, float], box: tuple[int, int, int, int], label: str
    ) -> None:  # fmt: skip
        """A bar of colours (256, 1, 3), the lowest first, with their values at its right."""
        left, top, right, bottom = box
        strip = Image.fromarray(np.ascontiguousarray(colours[::-1]))
        self.image.paste(strip.resize((right - left, bottom - top), Image.Resampling.NEAREST), (left, top))
        self._frame(box)
        low, high = limits
        widest = 0.0
        for value in _ticks(low, high):
            y = bottom - (value - low) / (high - low) * (bottom - top)
            self._draw.line((right, y, right + _TICK, y), fill="black")
            self._draw.text((right + 6, y), f"{value:g}", fill="black", font=_font(13), anchor="lm")
            widest = max(widest, _font(13).getlength(f"{value:g}"))
        self.text((right + 20 + widest, (top + bottom) / 2), label, 14, 1.4 * (bottom - top), upwards=True)

    def save(self, path: Path, description: str) -> None:
        """Write a PNG.

        Raises
        ------
        OutputError
        """
        encoded, about = io.BytesIO(), PngInfo()
        about.add_text("Description", description)
        self.image.save(encoded, "PNG", pnginfo=about, dpi=(_DPI, _DPI), compress_level=_QUICK)
        write_encoded(path, encoded.getbuffer())

    def _frame(self, place: tuple[int, int, int, int]) -> None:
        left, top, right, bottom = place
        self._draw.rectangle((left - 1, top - 1, right, bottom), outline="black")

    def _tick(self, at: tuple[float, float], text: str, *, down: bool = False) -> None:
        x, y = at
        end = (x, y + _TICK) if down else (x - _TICK, y)
        self._draw.line((x, y, *end), fill="black")
        beside, anchor = ((x, y + 6), "ma") if down else ((x - 6, y), "rm")
        self._draw.text(beside, text, fill="black", font=_font(_SMALL), anchor=anchor)


def grey_levels(image: npt.NDArray[Any], limits: tuple[float, float]) -> npt.NDArray[np.uint8]:
    """Colours (H, W, 3) of an image (H, W) or (H, W, 3) between two values; what is no number is white."""
    parts = _parts(image, limits)
    return np.ascontiguousarray(np.broadcast_to(parts[..., None], (*parts.shape, 3)) if parts.ndim == 2 else parts)


def spread_colours(image: npt.NDArray[Any], limits: tuple[float, float]) -> npt.NDArray[np.uint8]:
    """Colours (H, W, 3) from black over red to yellow (magma); what is no number is white."""
    found = _magma()[_parts(image, limits)]
    found[~np.isfinite(image)] = 255
    return found


def _parts(image: npt.NDArray[Any], limits: tuple[float, float]) -> npt.NDArray[np.uint8]:
    low, high = limits
    share = (np.asarray(image, np.float64) - low) / max(high - low, 1e-30)
    levels: npt.NDArray[np.uint8] = (np.nan_to_num(share, nan=1.0).clip(0, 1) * 255).round().astype(np.uint8)
    return levels


@cache
def _magma() -> npt.NDArray[np.uint8]:
    from matplotlib import colormaps

    levels: npt.NDArray[np.uint8] = colormaps["magma"](np.arange(256), bytes=True)[:, :3]
    return levels


@cache
def _font(size: float) -> ImageFont.FreeTypeFont:
    """DejaVu Sans, which comes with matplotlib; letters that it lacks are boxes."""
    from matplotlib import get_data_path

    return ImageFont.truetype(str(Path(get_data_path(), "fonts", "ttf", "DejaVuSans.ttf")), size)


def _ticks(low: float, high: float, most: int = 9) -> list[float]:
    """Round values from one to another, no more than so many."""
    if not (math.isfinite(low) and math.isfinite(high) and high > low):
        return []
    power = 10.0 ** math.floor(math.log10((high - low) / most))
    step = next((one * power for one in _STEPS if (high - low) / (one * power) <= most), 10 * power)
    return [number * step for number in range(math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9) + 1)]
