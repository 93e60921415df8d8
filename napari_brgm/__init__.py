"""Trustworthy generative restoration of medical images (BRGM, arXiv 2012.04567) for napari, Python and the shell.

Examples
--------
>>> import napari_brgm as brgm
>>> prior = brgm.load_prior("brain-axial-128")
>>> prior.resolution
128
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

_HOME = {
    "BrgmError": "errors", "Cancelled": "errors", "DeviceError": "errors", "InputError": "errors",
    "OutputError": "errors", "ScanError": "errors", "WeightsError": "errors",
    "InferenceSettings": "settings", "preset": "settings",
    "Scan": "scan", "ScanSlice": "scan",
    "Blur": "corruptions", "Compose": "corruptions", "Downsample": "corruptions", "Grayscale": "corruptions",
    "Identity": "corruptions", "Jpeg": "corruptions", "Mask": "corruptions", "Motion": "corruptions",
    "LinearGaussian": "priors.linear_gaussian", "StyleGAN2": "priors.stylegan2",
    "ConvolutionalManifold": "priors.convolutional_manifold", "DeepImagePrior": "priors.deep_image",
    "StyleGAN2Prior": "priors.stylegan2_prior",
    "Step": "inference.step",
    "Alignment": "engine.alignment",
    "Interpolation": "engine.explore", "draw": "engine.explore", "interpolate": "engine.explore",
    "Restoration": "engine.restoration", "restore": "engine.restore", "restore_steps": "engine.restore",
    "restore_volume": "engine.volume",
    "available_priors": "zoo.registry", "load_prior": "zoo.registry",
    "Brain": "scans.strip", "find_brain": "scans.strip", "read_scan": "scans",
    "resampled_onto": "scans.resampled",
}  # fmt: skip

__all__ = sorted([*_HOME, "__version__"])

if TYPE_CHECKING:
    from napari_brgm.corruptions import Blur, Compose, Downsample, Grayscale, Identity, Jpeg, Mask, Motion
    from napari_brgm.engine.alignment import Alignment
    from napari_brgm.engine.explore import Interpolation, draw, interpolate
    from napari_brgm.engine.restoration import Restoration
    from napari_brgm.engine.restore import restore, restore_steps
    from napari_brgm.engine.volume import restore_volume
    from napari_brgm.errors import (
        BrgmError,
        Cancelled,
        DeviceError,
        InputError,
        OutputError,
        ScanError,
        WeightsError,
    )
    from napari_brgm.inference.step import Step
    from napari_brgm.priors.convolutional_manifold import ConvolutionalManifold
    from napari_brgm.priors.deep_image import DeepImagePrior
    from napari_brgm.priors.linear_gaussian import LinearGaussian
    from napari_brgm.priors.stylegan2 import StyleGAN2
    from napari_brgm.priors.stylegan2_prior import StyleGAN2Prior
    from napari_brgm.scan import Scan, ScanSlice
    from napari_brgm.scans import read_scan
    from napari_brgm.scans.resampled import resampled_onto
    from napari_brgm.scans.strip import Brain, find_brain
    from napari_brgm.settings import InferenceSettings, preset
    from napari_brgm.zoo.registry import available_priors, load_prior


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOME[name]}"), name)


def __dir__() -> list[str]:
    return __all__
