"""Rows of a grid made by hand."""

from __future__ import annotations

from napari_brgm.evaluation.grid.rows import Row

_PLAIN = {
    "set": "brain-128", "task": "x4", "method": "ours", "title": "ours", "family": "ours", "image": "a", "subject": 0,
    "rmse": 10.0, "mae": 8.0, "psnr": 30.0, "ssim": 0.9, "ms_ssim": 0.1, "gmsd": 0.1, "efficientnet": 0.2,
    "lpips": None, "energy": 1.0, "true_energy": 1.0, "brats_ssim": None, "brats_mse": None, "brats_psnr": None,
    "std": None, "crps": None, "held_50": None, "held_80": None, "held_90": None, "held_95": None, "seconds": 1.0,
    "busy": 0.5, "megabytes": None, "seed": 0, "version": "1", "commit": "abc", "torch": "2", "device": "cpu",
    "fingerprint": "0",
}  # fmt: skip


def grid_row(**given) -> Row:
    """A row in which all but what is given is plain."""
    return Row(**{**_PLAIN, **given})
