"""How a layer, its slices and a prior suit each other: which prior to choose, what to say before a run and after it."""

from __future__ import annotations

import re
from operator import mul
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from napari_brgm.engine.advice import Circumstances, advice, same_modality, same_plane
from napari_brgm.plugin.layers.anatomy import orientation_fault, plane_of
from napari_brgm.plugin.prior_panel import takes_slice_as_frame

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from napari.layers import Image

    from napari_brgm.plugin.layers.shown import ShownSlice
    from napari_brgm.plugin.restore.preview import Part
    from napari_brgm.zoo.entry import PriorEntry

__all__ = ["Match", "advice_for", "best_prior", "modality_of", "turned_about"]

_LOOKED_AT = 2  # slices; each takes some hundredths of a second in the window's own thread
_FINE_MM = 1.25  # pixels up to this size are worth the prior of 256 pixels
_FINE = 256
_NUMBER = re.compile(r"\d+")
_WITHOUT_SPACING = ("CR",)  # modalities whose priors take the whole image, whatever its pixels


class Match(NamedTuple):
    """A prior and why."""

    prior: str
    reason: str


def modality_of(image: Image) -> str:
    """DICOM modality of a layer's scan, '' if it does not say."""
    scan = image.metadata.get("scan")
    return str(scan.get("modality") or "") if isinstance(scan, dict) else ""


def best_prior(
    entries: Mapping[str, PriorEntry],
    modality: str,
    plane: str,
    spacing: tuple[float, float] | None,
    how: str = "is",
    pixels: int = 0,
) -> Match | None:
    """Choose among priors.

    Parameters
    ----------
    entries : mapping of str to PriorEntry
        Those that are there, by name. One that knows no anatomy is chosen where no other knows the modality.
    modality, plane : str
        Of the slice; '' where it does not say. Without a modality the plane alone decides.
    spacing : (float, float) or None
        Pixel size in mm.
    how : str
        How the modality is known: the scan 'is', 'looks like' or 'is said to be' it.
    pixels : int
        Of its longer side. Where their size is not known they are taken for the prior's, and have to lie in its frame.

    Returns
    -------
    Match or None
        None where nothing is known of the priors.
    """
    trained = [entry for entry in entries.values() if entry.resolution]
    if not trained:
        return None
    fit = [e for e in trained if not modality or same_modality(modality, e.modality or modality)]
    if not fit:
        known = ", ".join(sorted({entry.modality for entry in trained if entry.modality}))
        for entry in filter(takes_slice_as_frame, entries.values()):
            return Match(entry.name, f"no prior knows {modality} (those here know {known})")
        return Match(trained[0].name, f"no prior knows {modality}; this one is the first of the list")
    same = [e for e in fit if plane and e.plane and same_plane(plane, e.plane)]
    reason = []
    if modality:
        reason.append(f"the scan {how} {modality}")
    if same:
        reason.append(f"its slice {plane}")
    elif plane and any(e.plane and e.modality not in _WITHOUT_SPACING for e in fit):
        reason.append(f"no prior knows {plane} slices")
    fit = same or fit
    fine = pixels > min(e.resolution for e in fit) if spacing is None else max(spacing) <= _FINE_MM
    chosen = min(fit, key=lambda e: (e.rank, (e.resolution >= _FINE) != fine))
    sized = (chosen.resolution >= _FINE) == fine
    if spacing is not None and sized and any((e.resolution >= _FINE) != fine for e in fit):
        reason.append(f"its pixels are {max(spacing):.2g} mm")
    if not modality:
        known = chosen.modality or "that of the prior"
        reason.insert(0, f"nothing says what the scan is and {known} is assumed; choose its modality")
    return Match(chosen.name, ", ".join(reason))


def advice_for(image: Image, parts: Sequence[Part], entry: PriorEntry) -> list[str]:
    """Sentences about a layer, its slices and a prior that do not suit each other.

    Several slices say each once, with the greatest number; those that hide most are looked at.
    """
    first = parts[0].shown
    circumstances = Circumstances(
        modality=modality_of(image),
        prior_modality=entry.modality,
        plane=plane_of(image, first.rows, first.columns) or "",
        prior_plane=entry.plane,
        orientation_fault=orientation_fault(image, first.rows, first.columns, first.flips),
        spacing_known=first.spacing is not None,
        needs_spacing=entry.modality not in _WITHOUT_SPACING,
        untrained=takes_slice_as_frame(entry),
        result_mm=_finest_mm(parts[0]),
        prior_mm=entry.spacing_mm,
        shown_mm=0.0 if first.spacing is None else max(map(mul, first.spacing, first.image.shape)),
        frame_mm=entry.resolution * entry.spacing_mm,
    )
    worst: dict[str, str] = {}  # by the sentence without its numbers
    for part in sorted(parts, key=_hidden)[-_LOOKED_AT:]:
        for sentence in advice(circumstances, part.shown.image, part.missing):
            rule = _NUMBER.sub("", sentence)
            worst[rule] = max(worst.get(rule, sentence), sentence, key=_numbers)
    return list(worst.values())


def _hidden(part: Part) -> int:
    """Pixels; none of a slice that is hidden as a whole, of which there is nothing to say."""
    hidden = 0 if part.missing is None else int(np.count_nonzero(part.missing))
    return 0 if part.missing is None or hidden == part.missing.size else hidden


def turned_about(image: Image, shown: ShownSlice, records: Sequence[Mapping[str, Any]], entry: PriorEntry) -> list[str]:
    """What a finished run found of the way up: a sentence where its fits had to turn slices about.

    It is a fact about the viewer where the layer's axes say so. Else the fit is in doubt, however small its misfit: in
    a head below the slices that the prior knows, pons and cerebellum can pass for frontal lobes.

    Parameters
    ----------
    image, shown : Image, ShownSlice
        The layer, and one of the slices; all lie alike.
    records : sequence of mapping
        Provenance of each restored slice.
    """
    fitted = [record for record in records if (record.get("alignment") or {}).get("fitted")]
    turned = [record for record in fitted if _half_turn(float(record["alignment"]["rotation"]) - entry.rotation)]
    if not turned:
        return []
    if "upside down" in orientation_fault(image, shown.rows, shown.columns, shown.flips):
        return ["the slice lies upside down in the viewer; it was turned about for the prior"]
    which = "the slice" if len(fitted) == 1 else f"{len(turned)} of {len(fitted)} slices"
    better = f"the prior fits {which} better turned about"
    if plane_of(image, shown.rows, shown.columns) is not None:
        return [f"{better}, though its axes say otherwise: the fit is doubtful"]
    return [f"the layer does not say which way is up, and {better}: shown upside down, or the fit is wrong"]


def _finest_mm(part: Part) -> float:
    """Pixel size of a result that is finer than its scan; 0 where none is, or nothing is known."""
    if part.shown.spacing is None or max(part.factor) <= 1:
        return 0.0
    return min(side / factor for side, factor in zip(part.shown.spacing, part.factor, strict=True) if factor > 1)


def _half_turn(degrees: float) -> bool:
    return abs((degrees + 180) % 360 - 180) > 90


def _numbers(sentence: str) -> list[int]:
    return [int(number) for number in _NUMBER.findall(sentence)]
