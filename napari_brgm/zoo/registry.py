"""Registry of priors: the names that can be loaded, their files and hashes."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from napari_brgm.errors import WeightsError
from napari_brgm.zoo.files import read_prior, sha256_of

if TYPE_CHECKING:
    from napari_brgm.priors.stylegan2_prior import StyleGAN2Prior

__all__ = ["available_priors", "load_prior", "registered", "weights_folder"]


def weights_folder() -> Path:
    """Where the shipped weights lie: inside the installed package, or beside it in a checkout.

    Raises
    ------
    WeightsError
        The installation is incomplete.
    """
    package = Path(__file__).resolve().parents[1]
    for folder in (package / "shipped_weights", package.parent / "weights"):
        if (folder / "registry.json").is_file():
            return folder
    raise WeightsError("the shipped weights are missing; install napari-brgm again")


def registered() -> dict[str, dict[str, Any]]:
    """Entries by name: file, sha256, modality, plane, resolution, licence, card."""
    entries: dict[str, dict[str, Any]] = json.loads((weights_folder() / "registry.json").read_text())
    return entries


def available_priors() -> list[str]:
    """Names of the shipped priors."""
    return sorted(registered())


def load_prior(name: str | Path) -> StyleGAN2Prior:
    """Load a prior by its name in the registry, or from the path of a weights file.

    Raises
    ------
    WeightsError
        There is none of this name, or its file is missing, damaged or not the one the registry knows.
    """
    entry = registered().get(str(name))
    if entry is None:
        path = Path(name)
        if path.suffix or path.exists():
            return read_prior(path)
        known = ", ".join(available_priors())
        raise WeightsError(
            f"there is no prior {str(name)!r}; choose one of {known}, or give the path of a weights file"
        )
    path = weights_folder() / entry["file"]
    if not path.is_file():
        raise WeightsError(
            f"the weights of {name} are missing; install napari-brgm again, or copy {entry['file']} to {path.parent}"
        )
    if sha256_of(path) != entry["sha256"]:
        raise WeightsError(
            f"{path.name} is not the file that the registry knows (its hash differs); install napari-brgm again"
        )
    return read_prior(path, str(name))
