"""Scores: everything measured of one method on one task."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from napari_brgm.evaluation.dataset import FRAME
from napari_brgm.evaluation.metrics import (
    gmsd,
    laplacian_energy_ratio,
    lpips_vgg,
    ms_ssim_distance,
    ms_ssim_scales,
    psnr,
    rmse,
)

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    from napari_brgm.evaluation.tasks import Task

    Images = npt.NDArray[np.floating]

__all__ = ["MEASURES", "Scores", "score"]

# field: (heading, decimals)
MEASURES: dict[str, tuple[str, int]] = {
    "rmse": (
        "RMSE inside the hole; super-resolution: whole image (of 0..255, lower is better)",
        1,
    ),
    "ms_ssim": (f"1 - MS-SSIM, {ms_ssim_scales(FRAME)} scales, whole image (lower is better)", 3),
    "gmsd": ("GMSD, whole image (lower is better)", 3),
    "laplacian": ("Laplacian energy inside the hole over the truth's (1 = as sharp)", 2),
    "lpips": ("LPIPS (vgg), whole image (lower is better)", 3),
    "rmse_image": ("RMSE of the whole image (grey levels of 0..255)", 1),
    "psnr": ("PSNR of the whole image (dB, mean of slices)", 1),
    "seconds": ("Seconds a slice", 2),
}


@dataclass(frozen=True, slots=True)
class Scores:
    """Fields as headed in ``MEASURES``; ``lpips`` is None where its backbone is not on disk."""

    rmse: float
    ms_ssim: float
    gmsd: float
    laplacian: float
    lpips: float | None
    rmse_image: float
    psnr: float
    seconds: float


def score(predictions: Images, truth: Images, task: Task, seconds: float) -> Scores:
    """Measure finished predictions (N, R, R); ``seconds`` is the time of one slice."""
    return Scores(
        rmse=rmse(predictions, truth, task.region),
        ms_ssim=ms_ssim_distance(predictions, truth),
        gmsd=gmsd(predictions, truth),
        laplacian=laplacian_energy_ratio(predictions, truth, task.region),
        lpips=lpips_vgg(predictions, truth),
        rmse_image=rmse(predictions, truth),
        psnr=psnr(predictions, truth),
        seconds=seconds,
    )
