"""Folders of small scans and masks, and the options of a task that restores them quickly, for tests of batches."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import nibabel as nib
import numpy as np
import torch

from napari_brgm.zoo.files import write_prior

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

_AFFINE = np.diag([-1.0, -1.0, 1.0, 1.0])


def small_batch(folder: Path, prior: Any, counts: Sequence[int]) -> list[str]:
    """Write scans of so many slices of 32 px, masks of each slice, and the prior; gives 'inpaint' with its options."""
    write_prior(prior, folder / "net.safetensors", torch.float32)
    drawn = prior.sample(sum(counts), seed=3)[:, 0].numpy()
    for name in ("scans", "masks"):
        (folder / name).mkdir()
    first = 0
    for number, count in enumerate(counts):
        volume = np.moveaxis(drawn[first : first + count], 0, 2) * 100 + 300
        mask = np.zeros(volume.shape, np.uint8)
        mask[10:20, 12:22] = 1
        nib.save(nib.Nifti1Image(volume.astype(np.float32), _AFFINE), folder / "scans" / f"s{number}.nii.gz")
        nib.save(nib.Nifti1Image(mask, _AFFINE), folder / "masks" / f"s{number}_mask.nii.gz")
        first += count
    task = ["inpaint", "--prior", folder / "net.safetensors", "--steps", 3, "--samples", 2, "--device", "cpu"]
    return [str(part) for part in task]


def batch_of(folder: Path, out: Path, task: Sequence[str], *more: object) -> list[str]:
    """Arguments of the command."""
    given = ["batch", "--scans", folder / "scans", "--masks", folder / "masks", "--out", out, *more, *task]
    return [str(part) for part in given]


def images_in(out: Path) -> dict[str, bytes]:
    """Files of images below a folder."""
    return {str(path.relative_to(out)): path.read_bytes() for path in sorted(out.rglob("*.nii.gz"))}
