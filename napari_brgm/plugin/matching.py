"""Which prior suits a layer: by modality, plane and pixel size, with the reason in words."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from napari_brgm.plugin.prior_panel import UNTRAINED

if TYPE_CHECKING:
    from collections.abc import Mapping

    from napari.layers import Image

    from napari_brgm.zoo.entry import PriorEntry

__all__ = ["Match", "best_prior", "modality_of"]

_FINE_MM = 1.25  # pixels up to this size are worth the prior of 256 pixels
_FINE = 256
_FAMILY = "lcm"  # latent convolutional models come second: they were worse on average (docs/manifolds.md)


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
    *,
    untrained: bool = False,
) -> Match | None:
    """Choose among priors.

    Parameters
    ----------
    entries : mapping of str to PriorEntry
        Those that are there, by name.
    modality, plane : str
        Of the slice; '' where it does not say. Without a modality the plane alone decides.
    spacing : (float, float) or None
        Pixel size in mm.
    untrained : bool
        Whether the untrained network may be chosen where no prior knows the modality.

    Returns
    -------
    Match or None
        None where nothing is known of the priors.
    """
    from napari_brgm.engine.advice import same_modality, same_plane

    trained = [entry for entry in entries.values() if entry.resolution]
    if not trained:
        return None
    fit = [e for e in trained if not modality or same_modality(modality, e.modality or modality)]
    if not fit:
        known = ", ".join(sorted({entry.modality for entry in trained if entry.modality}))
        if untrained:
            return Match(UNTRAINED, f"no prior knows {modality} (those here know {known})")
        return Match(trained[0].name, f"no prior knows {modality}; this one is the first of the list")
    same = [e for e in fit if plane and e.plane and same_plane(plane, e.plane)]
    reason = []
    if modality:
        reason.append(f"the scan is {modality}")
    if same:
        reason.append(f"its slice {plane}")
    elif plane:
        reason.append(f"no prior knows {plane} slices")
    fit = same or fit
    fine = spacing is not None and max(spacing) <= _FINE_MM
    chosen = min(fit, key=lambda e: (_FAMILY in e.name, (e.resolution >= _FINE) != fine))
    sized = (chosen.resolution >= _FINE) == fine
    if spacing is not None and sized and any((e.resolution >= _FINE) != fine for e in fit):
        reason.append(f"its pixels are {max(spacing):.2g} mm")
    if not modality:
        reason.insert(0, f"the file names no modality, {chosen.modality or 'that of the prior'} is assumed")
    return Match(chosen.name, ", ".join(reason))
