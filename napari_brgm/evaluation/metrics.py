"""Distances between restored slices and the truth, on grey levels 0..255, arrays (N, H, W) or (H, W).

RMSE, MAE, PSNR, SSIM and 1 - MS-SSIM are MONAI's, on regions and at sizes that are ours; GMSD and the Laplacian energy
need no weights either, and MONAI has neither of them; LPIPS counts where its backbone is on disk, and the distance of
EfficientNet-Lite0's features where that is installed.

MONAI is imported where it is called: it takes seconds, and few who import this package measure anything. Its structural
similarity is in float32, at most 1e-4 from one in float64 (bright and flat images).
"""

from __future__ import annotations

import warnings
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import torch
import torch.nn.functional as F

from napari_brgm.efficientnet import EfficientNetFeatures, has_efficientnet
from napari_brgm.errors import InputError

if TYPE_CHECKING:
    import numpy.typing as npt
    from monai.metrics.regression import RegressionMetric
    from torch import Tensor

    Array = npt.NDArray[np.floating]
    Region = npt.NDArray[np.bool_]

__all__ = [
    "BratsScores",
    "brats_scores",
    "efficientnet_distance",
    "gmsd",
    "laplacian_energies",
    "lpips_vgg",
    "mae",
    "ms_ssim_distance",
    "ms_ssim_scales",
    "psnr",
    "rmse",
    "ssim",
    "ssim_of_each",
]

PEAK = 255.0
_SCALE_WEIGHTS = (0.0448, 0.2856, 0.3001, 0.2363, 0.1333)  # of MS-SSIM, from fine to coarse
_LEAST_SIDES = (11, 22, 44, 99, 176)  # of an image for so many scales; MONAI wants more than the window's 11 for four
_GMSD_CONSTANT = 170.0  # of grey levels 0..255
_VGG_FILE = "vgg16-397923af.pth"  # torchvision's name for the LPIPS backbone


def rmse(prediction: Array, truth: Array, region: Region | None = None) -> float:
    """Root mean squared error in grey levels, pooled over slices and over ``region`` (H, W), or over all pixels."""
    from monai.metrics.regression import RMSEMetric

    x, y = _within(prediction, truth, region)
    return _mean(RMSEMetric(), x, y)


def mae(prediction: Array, truth: Array, region: Region | None = None) -> float:
    """Mean absolute error in grey levels, pooled as ``rmse`` is."""
    from monai.metrics.regression import MAEMetric

    x, y = _within(prediction, truth, region)
    return _mean(MAEMetric(), x, y)


def psnr(prediction: Array, truth: Array) -> float:
    """Peak signal-to-noise ratio in dB over whole images, mean over slices; infinite if a slice is identical."""
    from monai.metrics.regression import PSNRMetric

    return _mean(PSNRMetric(max_val=PEAK), *_pair(prediction, truth))


def ssim(prediction: Array, truth: Array) -> float:
    """Structural similarity with the Gaussian window, valid region, mean over slices (Wang et al. 2004, Eq. 13)."""
    from monai.metrics.regression import SSIMMetric

    return _mean(SSIMMetric(spatial_dims=2, data_range=PEAK), *_pair(prediction, truth))


def ssim_of_each(predictions: Array, truths: Array) -> npt.NDArray[np.float64]:
    """The same of each of N slices (N, H, W): (N,)."""
    from monai.metrics.regression import SSIMMetric

    found: Tensor = SSIMMetric(spatial_dims=2, data_range=PEAK)(*_pair(predictions, truths))  # type: ignore[assignment]
    return np.asarray(found[:, 0].double())


def ms_ssim_scales(size: int) -> int:
    """Scales that fit: each halving must leave the window of 11 pixels (128 -> 4, 176 and more -> 5)."""
    return sum(size >= least for least in _LEAST_SIDES)


def ms_ssim_distance(prediction: Array, truth: Array) -> float:
    """1 - multi-scale SSIM, mean over slices: 0 if identical.

    At 128 pixels four of the five scales fit (128, 64, 32, 16); their published exponents are rescaled to sum to 1.
    Negative contrast terms count as 0.

    Source: Wang, Simoncelli, Bovik, "Multi-scale structural similarity for image quality assessment", Asilomar 2003,
    Eq. 7 and Sec. 3.2.
    """
    from monai.metrics.regression import MultiScaleSSIMMetric

    x, y = _pair(prediction, truth)
    scales = ms_ssim_scales(min(x.shape[-2:]))
    if scales == 0:
        raise InputError(f"MS-SSIM needs images of at least {_LEAST_SIDES[0]} pixels a side, got {tuple(x.shape[-2:])}")
    weights = [weight / sum(_SCALE_WEIGHTS[:scales]) for weight in _SCALE_WEIGHTS[:scales]]
    return 1.0 - _mean(MultiScaleSSIMMetric(spatial_dims=2, data_range=PEAK, weights=weights), x, y)


def gmsd(prediction: Array, truth: Array) -> float:
    """Gradient magnitude similarity deviation, mean over slices: 0 if identical.

    Source: Xue, Zhang, Mou, Bovik, "Gradient Magnitude Similarity Deviation", IEEE TIP 23 (2014), Eq. 2-6: 2 x 2 means,
    Prewitt gradients / 3, constant 170, standard deviation of the similarity map.
    """
    x, y = (_gradient_magnitude(F.avg_pool2d(image, 2)) for image in _pair(prediction, truth))
    similarity = (2 * x * y + _GMSD_CONSTANT) / (x.square() + y.square() + _GMSD_CONSTANT)
    return float(similarity.std(dim=(1, 2, 3), correction=0).mean())


def laplacian_energies(prediction: Array, truth: Array, region: Region | None = None) -> tuple[float, float]:
    """Sharpness: sums of squared Laplacians of the prediction and of the truth.

    Five-point stencil, only where it lies wholly inside ``region`` (H, W) and the image, so that the seam of a hole
    does not count as detail.
    """
    x, y = _pair(prediction, truth)
    inside = np.ones(x.shape[-2:], dtype=np.bool_) if region is None else region
    core = inside[1:-1, 1:-1] & inside[:-2, 1:-1] & inside[2:, 1:-1] & inside[1:-1, :-2] & inside[1:-1, 2:]
    stencil = torch.tensor([[0.0, 1.0, 0.0], [1.0, -4.0, 1.0], [0.0, 1.0, 0.0]], dtype=torch.float64)[None, None]
    own, real = (F.conv2d(image, stencil)[..., torch.from_numpy(core)].square().sum() for image in (x, y))
    return float(own), float(real)


class BratsScores(NamedTuple):
    """SSIM, mean squared error and PSNR (dB) inside a hole, grey levels scaled to 0..1."""

    ssim: float
    mse: float
    psnr: float


def brats_scores(prediction: Array, truth: Array, region: Region) -> BratsScores:
    """The three figures of the BraTS in-painting challenge, of one slice (H, W).

    Both images are scaled by the 0.5 and 99.5 percentiles of the truth and clipped to 0..1. The challenge scores
    volumes; here it is a slice, and SSIM is the mean of the map (7 x 7 windows) over the hole.

    Source: Kofler et al., "The Brain Tumor Segmentation (BraTS) Challenge: Local Synthesis of Healthy Brain Tissue via
    Inpainting", arXiv 2305.08992, Sec. 2.4.
    """
    from skimage.metrics import structural_similarity

    low, high = np.percentile(truth, (0.5, 99.5))
    scale = max(float(high - low), 1e-6)
    x, y = (np.clip((np.asarray(image, np.float64) - low) / scale, 0, 1) for image in (prediction, truth))
    _, similarity = structural_similarity(x, y, data_range=1.0, full=True)  # type: ignore[no-untyped-call]
    mse = float(np.square(x - y)[region].mean())
    return BratsScores(float(similarity[region].mean()), mse, float(-10 * np.log10(max(mse, 1e-10))))


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


def efficientnet_distance(prediction: Array, truth: Array) -> float | None:
    """Squared distance of EfficientNet-Lite0's ImageNet features, mean over slices, 0 to 4; grey is repeated.

    Unit length over channels, mean over places and over five layers: blocks 0, 2, 4, 10, 15 (efficientnet.py). It is
    shaped like LPIPS, but no LPIPS: nobody fitted it to people's judgement.

    Returns
    -------
    float or None
        None where the network is not installed.
    """
    if not has_efficientnet():
        return None
    net = _efficientnet()
    x, y = (image.float().mul(2 / PEAK).sub(1) for image in _pair(prediction, truth))
    with torch.no_grad():
        apart = [(a - b).square().flatten(1).sum(dim=1) for a, b in zip(net(x), net(y), strict=True)]
    return float(torch.stack(apart).sum(dim=0).mean())


@lru_cache(maxsize=1)
def _efficientnet() -> EfficientNetFeatures:
    return EfficientNetFeatures("cpu")


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


def _within(prediction: Array, truth: Array, region: Region | None) -> tuple[Tensor, Tensor]:
    """Both as (1, pixels) float64, those of ``region`` alone."""
    x, y = _pair(prediction, truth)
    if region is not None:
        if region.shape != x.shape[-2:] or not region.any():
            raise InputError(f"the region must be a non-empty {tuple(x.shape[-2:])} mask, got {region.shape}")
        x, y = (image[..., torch.from_numpy(region)] for image in (x, y))
    return x.reshape(1, -1), y.reshape(1, -1)


def _mean(metric: RegressionMetric, x: Tensor, y: Tensor) -> float:
    """Mean over slices."""
    found: Tensor = metric(x, y)  # type: ignore[assignment]  # (N, 1)
    return float(found.double().mean())


def _gradient_magnitude(image: Tensor) -> Tensor:  # (N, 1, H, W), zeros outside
    column = torch.tensor([[1.0, 0.0, -1.0]] * 3, dtype=torch.float64) / 3
    kernels = torch.stack([column, column.T])[:, None]  # (2, 1, 3, 3)
    return F.conv2d(image, kernels, padding=1).square().sum(dim=1, keepdim=True).sqrt()
