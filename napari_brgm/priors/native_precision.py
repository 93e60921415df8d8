"""In which precision a network may compute: bfloat16 where the processor has instructions for it.

Where it has none, torch imitates it, and a step takes eight times as long as in float32.
"""

from __future__ import annotations

import torch

__all__ = ["native_precision"]

_CPU = ("_is_avx512_bf16_supported", "_is_amx_tile_supported")  # torch.cpu's questions; a torch without one cannot tell


def native_precision(device: torch.device) -> torch.dtype:
    """torch.bfloat16 where the device computes in it; torch.float32 where it does not, or nobody knows."""
    if device.type == "cuda":
        with torch.cuda.device(device):
            native = torch.cuda.is_bf16_supported(including_emulation=False)
    else:
        native = device.type == "cpu" and any(_says_yes(question) for question in _CPU)
    return torch.bfloat16 if native else torch.float32


def _says_yes(question: str) -> bool:
    ask = getattr(torch.cpu, question, None)
    try:
        return ask is not None and bool(ask())
    except (RuntimeError, AttributeError):  # a build of torch without it
        return False
