"""Registry of priors: those that ship, those that a person has installed, and those that others have published."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from napari_brgm.errors import WeightsError
from napari_brgm.priors.deep_image import DeepImagePrior
from napari_brgm.zoo.entry import Kind, PriorEntry
from napari_brgm.zoo.files import read_prior, sha256_of
from napari_brgm.zoo.folder import installed, user_folder

if TYPE_CHECKING:
    from napari_brgm.priors.prior import Prior
    from napari_brgm.zoo.files import AnyPrior

__all__ = [
    "UNTRAINED", "available_priors", "card_of", "catalogue", "file_of", "load_entry", "load_prior", "published",
    "registered",     "status_of", "weights_folder",
]  # fmt: skip

UNTRAINED = "deep-image"  # the prior without weights


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


def registered() -> dict[str, PriorEntry]:
    """Entries of the priors that ship, by name."""
    return _read("registry.json", Kind.shipped)


def published() -> dict[str, PriorEntry]:
    """Entries of weights that others have published, by name."""
    return _read("published.json", Kind.published)


def _read(file: str, kind: Kind) -> dict[str, PriorEntry]:
    path = weights_folder() / file
    if not path.is_file():  # a registry of one's own need not list what others have published
        return {}
    try:
        records = json.loads(path.read_text("utf-8"))
    except ValueError as error:
        raise WeightsError(f"{path} cannot be read; install napari-brgm again") from error
    return {name: PriorEntry.from_json(name, kind, record) for name, record in sorted(records.items())}


def catalogue() -> list[PriorEntry]:
    """All that is known, each name once: shipped before installed before published. Sizes are those on disk."""
    entries = published() | installed() | registered()
    ranks = {Kind.shipped: 0, Kind.installed: 1, Kind.published: 2}
    sized = [_sized(entry) for entry in entries.values()]
    return sorted(sized, key=lambda entry: (ranks[entry.kind], entry.name))


def _sized(entry: PriorEntry) -> PriorEntry:
    path = file_of(entry)
    return entry if path is None or not path.is_file() else replace(entry, size=path.stat().st_size)


def file_of(entry: PriorEntry) -> Path | None:
    """Where the weights file lies, or should; None for one that is not on this machine."""
    match entry.kind:
        case Kind.shipped:
            return weights_folder() / entry.file
        case Kind.installed:
            return user_folder() / entry.name / entry.file
        case Kind.published:
            return None


def card_of(entry: PriorEntry) -> Path | None:
    """Where the model card lies, if there is one."""
    file = file_of(entry)
    card = None if file is None or not entry.card else file.with_name(entry.card)
    return card if card is not None and card.is_file() else None


def status_of(entry: PriorEntry) -> str:
    """One of 'shipped', 'installed', 'missing' (its file is gone), 'to fetch', 'by hand' (only its page is known)."""
    file = file_of(entry)
    if file is None:
        return "to fetch" if entry.download else "by hand"
    return str(entry.kind) if file.is_file() else "missing"


def available_priors() -> list[str]:
    """Names that can be loaded: the shipped priors, those that are installed, and the one that needs no weights."""
    shipped = registered()
    return [*sorted(shipped), *sorted(installed().keys() - shipped.keys()), UNTRAINED]


def load_prior(name: str | Path) -> Prior:
    """Load a prior by its name in the registry, or from the path of a weights file.

    'deep-image' is the untrained network, for images that no prior was trained on.

    Raises
    ------
    WeightsError
        There is none of this name, or its file is missing, damaged or not the one the registry knows.
    """
    if str(name) == UNTRAINED:
        return DeepImagePrior()
    entry = registered().get(str(name)) or installed().get(str(name))
    if entry is not None:
        return load_entry(entry)
    path = Path(name)
    if path.suffix or path.exists():
        return read_prior(path)
    if str(name) in published():
        raise WeightsError(f"the prior {name} is not on this machine yet; run `napari-brgm weights fetch {name}` first")
    known = ", ".join(available_priors())
    raise WeightsError(f"there is no prior {str(name)!r}; choose one of {known}, or give the path of a weights file")


def load_entry(entry: PriorEntry) -> AnyPrior:
    """Load the weights of an entry after a look at their hash.

    Raises
    ------
    WeightsError
        The file is missing, damaged or not the one that the entry knows.
    """
    path = file_of(entry)
    if path is None:
        raise WeightsError(f"the prior {entry.name} is not on this machine yet; fetch it first")
    shipped = entry.kind is Kind.shipped
    again = "install napari-brgm again" if shipped else f"remove {entry.name} and fetch or import it again"
    if not path.is_file():
        copy = f", or copy {entry.file} to {path.parent}" if shipped else ""
        raise WeightsError(f"the weights of {entry.name} are missing; {again}{copy}")
    if sha256_of(path) != entry.sha256:
        raise WeightsError(f"{path.name} is not the file that the registry knows (its hash differs); {again}")
    prior = read_prior(path, entry.name)
    limit, factors = float(entry.misfit_limit), entry.calibration
    prior.info = replace(prior.info, rotation=float(entry.rotation), misfit_limit=limit, calibration=factors)
    if not shipped:  # published formats say nothing of anatomy: the entry does
        info = prior.info
        prior.info = replace(
            info, name=entry.name, modality=info.modality or entry.modality, plane=info.plane or entry.plane
        )
    return prior
