"""What the layers say about a run that is about to start -> the engine's advice."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from napari_brgm.plugin.anatomy import orientation_fault, plane_of
from napari_brgm.plugin.matching import modality_of
from napari_brgm.plugin.prior_panel import UNTRAINED

if TYPE_CHECKING:
    from collections.abc import Sequence

    from napari.layers import Image

    from napari_brgm.plugin.job import Piece
    from napari_brgm.plugin.layers import ShownSlice
    from napari_brgm.zoo.entry import PriorEntry

__all__ = ["advice_for", "turned_about"]

_NUMBER = re.compile(r"\d+")
_WITHOUT_SPACING = ("CR",)  # modalities whose priors take the whole image, whatever its pixels


def advice_for(
    image: Image, parts: Sequence[tuple[ShownSlice, Piece]], entry: PriorEntry | None, prior: str
) -> list[str]:
    """Sentences about a layer, its slices and a prior that do not suit each other.

    Several slices say each once, with the greatest number. A prior that is not in the registry (``entry`` None) is
    known by nothing but its name.
    """
    from napari_brgm.engine.advice import Circumstances, advice

    first = parts[0][0]
    circumstances = Circumstances(
        modality=modality_of(image),
        prior_modality=entry.modality if entry else "",
        plane=plane_of(image, first.rows, first.columns) or "",
        prior_plane=entry.plane if entry else "",
        orientation_fault=orientation_fault(image, first.rows, first.columns, first.flips),
        spacing_known=first.spacing is not None,
        needs_spacing=entry is not None and entry.modality not in _WITHOUT_SPACING,
        untrained=prior == UNTRAINED,
    )
    worst: dict[str, str] = {}  # by the sentence without its numbers
    for shown, piece in parts:
        for sentence in advice(circumstances, shown.image, piece.missing):
            rule = _NUMBER.sub("", sentence)
            worst[rule] = max(worst.get(rule, sentence), sentence, key=_numbers)
    return list(worst.values())


def _numbers(sentence: str) -> list[int]:
    return [int(number) for number in _NUMBER.findall(sentence)]


def turned_about(alignment: dict[str, Any] | None, entry: PriorEntry | None) -> list[str]:
    """What a finished run found of the way up: a sentence where it had to turn the slice about."""
    if not alignment or not alignment.get("fitted") or entry is None:
        return []
    apart = abs((float(alignment["rotation"]) - entry.rotation + 180) % 360 - 180)
    return ["the slice lies upside down in the viewer; it was turned about for the prior"] if apart > 90 else []
