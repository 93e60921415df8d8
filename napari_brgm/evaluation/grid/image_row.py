"""image_row(): everything that is measured of one restored slice."""

from __future__ import annotations

import hashlib
import json
import subprocess
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from napari_brgm import __version__
from napari_brgm.calibration import LEVELS, half_width
from napari_brgm.evaluation.grid.rows import Row
from napari_brgm.evaluation.metrics import (
    brats_scores,
    efficientnet_distance,
    gmsd,
    laplacian_energies,
    lpips_vgg,
    mae,
    ms_ssim_distance,
    psnr,
    rmse,
    ssim,
)
from napari_brgm.scoring import crps_gaussian

if TYPE_CHECKING:
    from collections.abc import Mapping

    import numpy.typing as npt

    from napari_brgm.evaluation.method import Restored
    from napari_brgm.evaluation.tasks import Task

    Image = npt.NDArray[np.float32]

__all__ = ["Cost", "digest_of", "image_row", "source_commit"]

_Z = {level: half_width(level) for level in LEVELS}


@dataclass(frozen=True, slots=True)
class Cost:
    """Of one restoration: seconds by the clock and of the processor, and the peak of memory in MB if it is known."""

    seconds: float
    busy: float
    megabytes: float | None


def image_row(names: Mapping[str, Any], finished: Image, truth: Image, task: Task, spread: Restored | None,
              cost: Cost) -> Row:  # fmt: skip
    """Measure one finished image.

    Parameters
    ----------
    names : dict
        Fields of the row that say what it is of: set, method, title, family, image, subject, seed, device, fingerprint.
    finished, truth : (R, R) ndarray
        Grey levels 0..255, measured pixels as measured.
    task : Task
    spread : Restored or None
        Whose standard deviation and intervals are measured too; None: the image has none of its own.
    cost : Cost
    """
    region = task.region
    brats = brats_scores(finished, truth, region) if task.kind == "hole" else (None, None, None)
    energies = laplacian_energies(finished, truth, region)
    return Row(
        **names, task=task.name, rmse=rmse(finished, truth, region), mae=mae(finished, truth, region),
        psnr=min(psnr(finished, truth), 100.0), ssim=ssim(finished, truth), ms_ssim=ms_ssim_distance(finished, truth),
        gmsd=gmsd(finished, truth), efficientnet=efficientnet_distance(finished, truth),
        lpips=lpips_vgg(finished, truth), energy=energies[0], true_energy=energies[1], brats_ssim=brats[0],
        brats_mse=brats[1], brats_psnr=brats[2], **_spread(spread, truth, region), seconds=cost.seconds,
        busy=cost.busy, megabytes=cost.megabytes, version=__version__, commit=source_commit(), torch=torch.__version__,
    )  # fmt: skip


def _spread(restored: Restored | None, truth: Image, region: npt.NDArray[np.bool_]) -> dict[str, Any]:
    names = ["std", "crps", *(f"held_{100 * level:.0f}" for level in LEVELS)]
    if restored is None or restored.std is None:
        return dict.fromkeys(names)
    mean = np.asarray(restored.estimate if restored.mean is None else restored.mean, np.float64)[region]
    std = np.asarray(restored.std, np.float64)[region]
    apart = np.abs(truth[region] - mean)
    halves = _Z.values() if restored.widths is None else [np.asarray(one)[region] for one in restored.widths]
    held = [float((apart <= half * std).mean()) for half in halves]
    crps = float(crps_gaussian(truth[region].astype(np.float64), mean, std).mean())
    return dict(zip(names, [float(std.mean()), crps, *held], strict=True))


def digest_of(fingerprint: Mapping[str, Any]) -> str:
    """Eight hexadecimal digits of plain values."""
    return hashlib.sha256(json.dumps(fingerprint, sort_keys=True).encode()).hexdigest()[:8]


@lru_cache(maxsize=1)
def source_commit() -> str:
    """Commit of the checkout that this package runs from, with a '+' if files were changed since; '' elsewhere."""
    where = Path(__file__).parent
    said = []
    for command in (("rev-parse", "--short", "HEAD"), ("status", "--porcelain", "--untracked-files=no", "--", ".")):
        try:
            done = subprocess.run(
                ["git", "-C", str(where), *command], capture_output=True, text=True, timeout=30, check=True
            )
        except (OSError, subprocess.SubprocessError):
            return ""
        said.append(done.stdout.strip())
    inside = subprocess.run(
        ["git", "-C", str(where), "ls-files", "--error-unmatch", Path(__file__).name], capture_output=True, check=False
    )
    return said[0] + ("+" if said[1] else "") if inside.returncode == 0 else ""
