"""Pictures as text of a page: WebP in data URIs, in the quality that keeps the page small."""

from __future__ import annotations

import base64
import io
from functools import cache
from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import Image

if TYPE_CHECKING:
    import numpy.typing as npt

__all__ = ["STD_LIMIT", "data_uri", "grey", "magma_stops", "observation", "spread_levels"]

STD_LIMIT = 64.0  # grey levels, the top of the colour scale
_HIDDEN = np.array((237, 89, 77), np.uint8)  # as on the sheets of the shell


def data_uri(pixels: npt.NDArray[np.uint8], quality: int | None) -> str:
    """A WebP of pixels (H, W) or (H, W, 3); ``quality`` None: without loss."""
    stream = io.BytesIO()
    options: dict[str, Any] = {"lossless": True} if quality is None else {"quality": quality}
    Image.fromarray(pixels).save(stream, "WEBP", **options)
    return f"data:image/webp;base64,{base64.b64encode(stream.getvalue()).decode()}"


def grey(image: npt.NDArray[Any]) -> npt.NDArray[np.uint8]:
    """Grey levels 0..255 (H, W), rounded."""
    levels: npt.NDArray[np.uint8] = np.nan_to_num(np.asarray(image, np.float64)).clip(0, 255).round().astype(np.uint8)
    return levels


def spread_levels(image: npt.NDArray[Any]) -> npt.NDArray[np.uint8]:
    """Colours (H, W, 3) of standard deviations or errors: black 0, red, yellow ``STD_LIMIT`` and more (magma)."""
    return _magma()[grey(np.asarray(image, np.float64) * (255 / STD_LIMIT))]


def observation(observed: npt.NDArray[Any], missing: npt.NDArray[np.bool_] | None, size: int) -> npt.NDArray[np.uint8]:
    """What was seen, on ``size`` x ``size`` pixels: large pixels as squares, hidden ones red (then (H, W, 3))."""
    times = size // observed.shape[-1]
    levels = np.repeat(np.repeat(grey(observed), times, axis=0), times, axis=1)
    return levels if missing is None else np.where(missing[..., None], _HIDDEN, levels[..., None])


def magma_stops(count: int = 9) -> list[str]:
    """Colours of the scale from 0 to ``STD_LIMIT``, as CSS writes them."""
    return ["#" + bytes(_magma()[round(i * 255 / (count - 1))]).hex() for i in range(count)]


@cache
def _magma() -> npt.NDArray[np.uint8]:
    from matplotlib import colormaps

    levels: npt.NDArray[np.uint8] = colormaps["magma"](np.arange(256), bytes=True)[:, :3]
    return levels
