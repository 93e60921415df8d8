"""How well a colour is read on another."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["contrast"]


def contrast(one: Sequence[float], other: Sequence[float]) -> float:
    """Ratio of the luminances of two sRGB colours in 0 .. 1, from 1 to 21 (WCAG 2.2, contrast ratio)."""
    dark, light = sorted((_luminance(one), _luminance(other)))
    return (light + 0.05) / (dark + 0.05)


def _luminance(colour: Sequence[float]) -> float:
    red, green, blue = (c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in map(float, colour))
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue
