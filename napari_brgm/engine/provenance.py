"""Provenance: the one record that says how a restored image came about."""

from __future__ import annotations

import platform
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from napari_brgm.scans.record import version

if TYPE_CHECKING:
    from collections.abc import Sequence

    from napari_brgm.priors.prior import Prior
    from napari_brgm.settings import InferenceSettings

__all__ = ["DRAWN", "ESTIMATED", "NOTICE", "NOTICE_ESTIMATED", "origin", "record", "shared_record"]

NOTICE = "Restored by a generative model: synthetic where not measured. Not for diagnosis."
ESTIMATED = "every pixel of the result is an estimate; none is kept as measured"  # the note of inexact corruptions
NOTICE_ESTIMATED = "Restored by a generative model: every pixel is an estimate, none as measured. Not for diagnosis."
DRAWN = "Drawn by a generative model: synthetic throughout. Not for diagnosis."


def origin(prior: Prior, *, notice: str, method: str, device: torch.device) -> dict[str, Any]:
    """What every record starts with: notice, software, date, method, prior and device; JSON-ready.

    Versions and number of threads are there because sums are taken in another order with others: 1 and 2 threads of
    torch differ by some 3e-7 of the result, so that a replay is exact only with the same.
    """
    return {
        "notice": notice,
        "software": {
            "name": "napari-brgm", "version": version(), "torch": torch.__version__, "numpy": np.__version__,
            "python": platform.python_version(),
        },
        "created": datetime.now(UTC).isoformat(timespec="seconds"),
        "method": method,
        "prior": {
            "name": prior.info.name, "sha256": prior.info.weights_sha256, "modality": prior.info.modality,
            "plane": prior.info.plane, "spacing_mm": prior.info.spacing_mm,
        },
        "device": str(device),
        "threads": torch.get_num_threads(),
        "machine": platform.machine(),
    }  # fmt: skip


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
    alignment: dict[str, Any],
    misfit: dict[str, float | None],
    calibration: dict[str, Any],
    notes: list[str],
    seconds: float,
) -> dict[str, Any]:
    """A JSON-ready record. It holds nothing of the scan but its geometry and intensity window."""
    return origin(prior, notice=NOTICE_ESTIMATED if ESTIMATED in notes else NOTICE, method=method, device=device) | {
        "corruption": corruption,
        "settings": settings.as_dict(),
        "samples": samples,
        "seed": seed,
        "noise": noise,
        "window": window,
        "frame": frame,
        "alignment": alignment,
        "misfit": misfit,
        "calibration": calibration,
        "notes": notes,
        "seconds": round(seconds, 3),
    }  # fmt: skip


def shared_record(records: Sequence[dict[str, Any]]) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """Part provenance records into what all of them say and, for each, the rest.

    Examples
    --------
    >>> shared_record([{"seed": 1, "seconds": 2.0}, {"seed": 1, "seconds": 3.0}])
    ({'seed': 1}, [{'seconds': 2.0}, {'seconds': 3.0}])
    """
    first, *others = records
    shared = {key: value for key, value in first.items() if all(key in o and o[key] == value for o in others)}
    return shared, [{key: value for key, value in record.items() if key not in shared} for record in records]
