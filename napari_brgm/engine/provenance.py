"""Provenance: the one record that says how a restored image came about."""

from __future__ import annotations

import platform
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import torch

if TYPE_CHECKING:
    from napari_brgm.priors.prior import Prior
    from napari_brgm.settings import InferenceSettings

__all__ = ["NOTICE", "record"]

NOTICE = "Restored by a generative model: synthetic where not measured. Not for diagnosis."


def record(
    prior: Prior,
    corruption: dict[str, Any],
    settings: InferenceSettings,
    *,
    method: str,
    seed: int,
    samples: int,
    device: torch.device,
    noise: dict[str, float],
    window: dict[str, float],
    frame: dict[str, Any],
    notes: list[str],
    seconds: float,
) -> dict[str, Any]:
    """A JSON-ready record. It holds nothing of the scan but its geometry and intensity window."""
    from napari_brgm import __version__

    return {
        "notice": NOTICE,
        "software": {"name": "napari-brgm", "version": __version__, "torch": torch.__version__},
        "created": datetime.now(UTC).isoformat(timespec="seconds"),
        "method": method,
        "prior": {
            "name": prior.info.name, "sha256": prior.info.weights_sha256, "modality": prior.info.modality,
            "plane": prior.info.plane, "spacing_mm": prior.info.spacing_mm,
        },
        "corruption": corruption,
        "settings": settings.as_dict(),
        "samples": samples,
        "seed": seed,
        "device": str(device),
        "machine": platform.machine(),
        "noise": noise,
        "window": window,
        "frame": frame,
        "notes": notes,
        "seconds": round(seconds, 3),
    }  # fmt: skip
