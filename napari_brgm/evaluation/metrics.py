"""Distances between restored slices and the truth, on grey levels 0..255, arrays (N, H, W) or (H, W).

RMSE and PSNR; 1 - MS-SSIM, GMSD and the Laplacian energy, which need no weights; LPIPS where its backbone is on disk.
"""

from __future__ import annotations

import warnings
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
import torch.nn.functional as F

from napari_brgm.errors import InputError

if TYPE_CHECKING:
    import numpy.typing as npt
    from torch import Tensor

    Array = npt.NDArray[np.floating]
    Region = npt.NDArray[np.bool_]

__all__ = ["gmsd", "laplacian_energy_ratio", "lpips_vgg", "ms_ssim_distance", "ms_ssim_scales", "psnr", "rmse", "ssim"]

PEAK = 255.0
_WINDOW = 11  # pixels of the Gaussian window, sigma 1.5
_SCALE_WEIGHTS = (0.0448, 0.2856, 0.3001, 0.2363, 0.1333)
_GMSD_CONSTANT = 170.0  # of grey levels 0..255
_VGG_FILE = "vgg16-397923af.pth"  # torchvision's name for the LPIPS backbone


def rmse(prediction: Array, truth: Array, region: Region | None = None) -> float:
    """Root mean squared error in grey levels, pooled over slices and over ``region`` (H, W), or over all pixels."""
    x, y = _pair(prediction, truth)
    error = x - y
    if region is not None:
        if region.shape != error.shape[-2:] or not region.any():
            raise InputError(f"the region must be a non-empty {tuple(error.shape[-2:])} mask, got {region.shape}")
        error = error[..., torch.from_numpy(region)]
    return float(error.square().mean().sqrt())


def psnr(prediction: Array, truth: Array) -> float:
    """Peak signal-to-noise ratio in dB over whole images, mean over slices; infinite if a slice is identical."""
    x, y = _pair(prediction, truth)
    mse = (x - y).square().mean(dim=(1, 2, 3))
    return float((10 * torch.log10(PEAK**2 / mse)).mean())


def ssim(prediction: Array, truth: Array) -> float:
    """Structural similarity with the Gaussian window, valid region, mean over slices (Wang et al. 2004, Eq. 13)."""
    return float(_ssim_maps(*_pair(prediction, truth))[0].mean())


def ms_ssim_scales(size: int) -> int:
    """Scales that fit: each halving must leave at least the 11-pixel window (128 -> 4, 176 and more -> 5)."""
    scales = 0
    while scales < len(_SCALE_WEIGHTS) and size >> scales >= _WINDOW:
        scales += 1
    return scales


def ms_ssim_distance(prediction: Array, truth: Array) -> float:
    """1 - multi-scale SSIM, mean over slices: 0 if identical.

    At 128 pixels four of the five scales fit (128, 64, 32, 16); their published exponents are rescaled to sum to 1.
    Negative contrast terms count as 0.

    Source: Wang, Simoncelli, Bovik, "Multi-scale structural similarity for image quality assessment", Asilomar 2003,
    Eq. 7 and Sec. 3.2.
    """
    x, y = _pair(prediction, truth)
    scales = ms_ssim_scales(min(x.shape[-2:]))
    if scales == 0:
        raise InputError(f"MS-SSIM needs images of at least {_WINDOW} pixels a side, got {tuple(x.shape[-2:])}")
    weights = np.array(_SCALE_WEIGHTS[:scales]) / sum(_SCALE_WEIGHTS[:scales])
    value = torch.ones(len(x), dtype=torch.float64)
    for scale, weight in enumerate(weights):
        full, contrast = _ssim_maps(x, y)
        term = full if scale == scales - 1 else contrast  # luminance enters at the coarsest scale only
        value = value * term.mean(dim=(1, 2, 3)).clamp(min=0.0) ** float(weight)
        x, y = F.avg_pool2d(x, 2), F.avg_pool2d(y, 2)
    return float(1.0 - value.mean())


def gmsd(prediction: Array, truth: Array) -> float:
    """Gradient magnitude similarity deviation, mean over slices: 0 if identical.

    Source: Xue, Zhang, Mou, Bovik, "Gradient Magnitude Similarity Deviation", IEEE TIP 23 (2014), Eq. 2-6: 2 x 2 means,
    Prewitt gradients / 3, constant 170, standard deviation of the similarity map.
    """
    x, y = (_gradient_magnitude(F.avg_pool2d(image, 2)) for image in _pair(prediction, truth))
    similarity = (2 * x * y + _GMSD_CONSTANT) / (x.square() + y.square() + _GMSD_CONSTANT)
    return float(similarity.std(dim=(1, 2, 3), correction=0).mean())


def laplacian_energy_ratio(prediction: Array, truth: Array, region: Region | None = None) -> float:
    """Sharpness: sum of squared Laplacians of the prediction over that of the truth, pooled; 1 means as sharp.

    Five-point stencil, only where it lies wholly inside ``region`` (H, W) and the image, so that the seam of a hole
    does not count as detail. Infinite if the truth is flat there.
    """
    x, y = _pair(prediction, truth)
    inside = np.ones(x.shape[-2:], dtype=np.bool_) if region is None else region
    core = inside[1:-1, 1:-1] & inside[:-2, 1:-1] & inside[2:, 1:-1] & inside[1:-1, :-2] & inside[1:-1, 2:]
    stencil = torch.tensor([[0.0, 1.0, 0.0], [1.0, -4.0, 1.0], [0.0, 1.0, 0.0]], dtype=torch.float64)[None, None]
    energy = [F.conv2d(image, stencil)[..., torch.from_numpy(core)].square().sum() for image in (x, y)]
    return float(energy[0] / energy[1])


def lpips_vgg(prediction: Array, truth: Array) -> float | None:
    """LPIPS with the VGG16 backbone, mean over slices, grey repeated to three channels; nothing is downloaded.

    Returns
    -------
    float or None
        None when the ``lpips`` package or its backbone (in torch's hub cache) is not there.

    Source: Zhang et al., "The Unreasonable Effectiveness of Deep Features as a Perceptual Metric", CVPR 2018.
    """
    if not (Path(torch.hub.get_dir()) / "checkpoints" / _VGG_FILE).is_file():
        return None
    net = _lpips_net()
    if net is None:
        return None
    x, y = (image.float().mul(2 / PEAK).sub(1).expand(-1, 3, -1, -1) for image in _pair(prediction, truth))
    with torch.no_grad():
        distances = [net(x[i : i + 10], y[i : i + 10]).flatten() for i in range(0, len(x), 10)]
    return float(torch.cat(distances).mean())


@lru_cache(maxsize=1)
def _lpips_net() -> Any | None:
    with warnings.catch_warnings():  # lpips still calls torchvision's older spelling
        warnings.simplefilter("ignore")
        try:
            import lpips
        except ImportError:
            return None
        return lpips.LPIPS(net="vgg", verbose=False).eval()


def _pair(prediction: Array, truth: Array) -> tuple[Tensor, Tensor]:
    """Both as (N, 1, H, W) float64."""
    x, y = (np.asarray(image, dtype=np.float64) for image in (prediction, truth))
    if x.shape != y.shape or x.ndim not in (2, 3):
        raise InputError(f"prediction {x.shape} and truth {y.shape} must have one shape, (N, H, W) or (H, W)")
    shape = (-1, 1, *x.shape[-2:])
    return torch.from_numpy(x).reshape(shape), torch.from_numpy(y).reshape(shape)


def _ssim_maps(x: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
    """SSIM and its contrast-structure factor at each pixel whose window fits, (N, 1, H - 10, W - 10)."""
    offsets = torch.arange(_WINDOW, dtype=torch.float64) - _WINDOW // 2
    line = torch.exp(-offsets.square() / (2 * 1.5**2))
    line = line / line.sum()

    def blur(image: Tensor) -> Tensor:
        return F.conv2d(F.conv2d(image, line[None, None, :, None]), line[None, None, None, :])

    c1, c2 = (0.01 * PEAK) ** 2, (0.03 * PEAK) ** 2
    mean_x, mean_y = blur(x), blur(y)
    var_x = blur(x * x) - mean_x.square()
    var_y = blur(y * y) - mean_y.square()
    covariance = blur(x * y) - mean_x * mean_y
    contrast = (2 * covariance + c2) / (var_x + var_y + c2)
    luminance = (2 * mean_x * mean_y + c1) / (mean_x.square() + mean_y.square() + c1)
    return luminance * contrast, contrast


def _gradient_magnitude(image: Tensor) -> Tensor:  # (N, 1, H, W), zeros outside
    column = torch.tensor([[1.0, 0.0, -1.0]] * 3, dtype=torch.float64) / 3
    kernels = torch.stack([column, column.T])[:, None]  # (2, 1, 3, 3)
    return F.conv2d(image, kernels, padding=1).square().sum(dim=1, keepdim=True).sqrt()
