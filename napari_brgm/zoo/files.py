"""Weight files: a prior as one safetensors file, in the layout of its family (zoo/families). Nothing in it can run."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

import torch

from napari_brgm.errors import BrgmError, DeviceError, OutputError, WeightsError
from napari_brgm.reason import advice_of, lacks_memory, reason_of
from napari_brgm.tensor_file import read_tensors, write_tensors
from napari_brgm.zoo.families import families, family_of_format
from napari_brgm.zoo.family import WeightsFile

if TYPE_CHECKING:
    from pathlib import Path

    from napari_brgm.priors.prior import Prior

__all__ = ["read_prior", "sha256_of", "write_prior"]

_ROOM = "close other programs, or use another machine"


def sha256_of(path: Path) -> str:
    """Hexadecimal SHA-256 of a file."""
    with path.open("rb") as handle:
        return hashlib.file_digest(handle, "sha256").hexdigest()


def write_prior(
    prior: Prior, path: Path, dtype: torch.dtype = torch.float16, notes: dict[str, str] | None = None
) -> str:  # fmt: skip
    """Write ``prior`` with the density of its latents, and notes as metadata; returns the SHA-256 of the file.

    ``dtype`` is that of networks that may be stored in more than halves.

    Raises
    ------
    OutputError
        The file cannot be written, or there is no such file of this prior.
    """
    family = families().get(prior.info.family)
    if family is None or family.contents is None:
        raise OutputError(f"{prior.info.name} is of a kind that has no weights file")
    tensors, metadata = family.contents(prior, dtype)
    try:
        write_tensors(path, {k: v.detach().cpu().contiguous() for k, v in tensors.items()}, metadata | (notes or {}))
    except OSError as error:
        advice = advice_of(error, "choose a folder that can be written")
        raise OutputError(f"the weights cannot be written to {path}: {reason_of(error)}; {advice}") from error
    return sha256_of(path)


def read_prior(path: Path, name: str | None = None) -> Prior:
    """Read a prior of any family; ``name`` is for files that do not name it (default: the file's own).

    Raises
    ------
    WeightsError
        The file is missing, damaged, or holds something else.
    """
    if not path.is_file():
        raise WeightsError(f"there is no weights file {path}; see `napari-brgm info` for the priors that are installed")
    try:
        tensors, metadata = read_tensors(path)
    except (OSError, ValueError, KeyError, RecursionError) as error:
        raise WeightsError(
            f"{path.name} cannot be read as safetensors weights: {reason_of(error)}; a published file of another kind "
            "needs `weights import`"
        ) from error
    except (MemoryError, RuntimeError) as error:
        if lacks_memory(error):
            raise DeviceError(f"there is not enough memory to read {path.name}; {_ROOM}") from error
        raise
    tensors = {k: v.float() if v.is_floating_point() else v for k, v in tensors.items()}
    if not all(torch.isfinite(v).all() for v in tensors.values() if v.is_floating_point()):
        raise WeightsError(f"{path.name} holds values that are not finite; get it again")
    read = family_of_format(metadata.get("format", "")).read
    assert read is not None, "a family with formats reads them"
    try:
        return read(WeightsFile(tensors, metadata, sha256_of(path), name or path.stem))
    except WeightsError as error:
        raise WeightsError(f"{path.name}: {error}") from error
    except BrgmError:
        raise
    except Exception as error:
        if lacks_memory(error):
            raise DeviceError(f"there is not enough memory for the prior in {path.name}; {_ROOM}") from error
        raise WeightsError(f"{path.name} does not hold a complete prior: {reason_of(error)}") from error
