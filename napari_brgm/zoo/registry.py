"""Registry of priors: those that ship, those that a person has installed, and those that others have published."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from napari_brgm.errors import WeightsError
from napari_brgm.zoo.entry import Kind, PriorEntry
from napari_brgm.zoo.families import families
from napari_brgm.zoo.files import read_prior, sha256_of
from napari_brgm.zoo.folder import installed, user_folder
from napari_brgm.zoo.header import knows_neighbours, with_family

if TYPE_CHECKING:
    from napari_brgm.priors.prior import Prior

__all__ = [
    "available_priors", "builtin", "card_of", "catalogue", "entry_of", "file_of", "knows_stacks", "load_entry",
    "load_prior", "loadable", "published", "registered", "status_of", "weights_folder",
]  # fmt: skip


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
    folder = weights_folder()
    return {
        name: with_family(entry, folder / entry.file) for name, entry in _read("registry.json", Kind.shipped).items()
    }


def builtin() -> dict[str, PriorEntry]:
    """Entries of the priors that need no weights, by name."""
    return {entry.name: entry for family in families().values() for entry in family.builtin}


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


def loadable() -> dict[str, PriorEntry]:
    """Entries of the priors that can be loaded, by name: shipped, installed, built in."""
    entries: dict[str, PriorEntry] = {}
    for some in (registered(), dict(sorted(installed().items())), builtin()):
        entries = entries | {name: entry for name, entry in some.items() if name not in entries}
    return entries


def entry_of(name: str) -> PriorEntry | None:
    """The entry of a prior that can be loaded by this name."""
    return loadable().get(name)


def catalogue() -> list[PriorEntry]:
    """All weights that are known, each name once: shipped, installed, published. Sizes are those on disk."""
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
        case Kind.published | Kind.builtin:
            return None


def knows_stacks(entry: PriorEntry) -> bool:
    """Whether a prior knows how neighbouring slices belong together, by the header of its file."""
    file = file_of(entry)
    return file is not None and knows_neighbours(file)


def card_of(entry: PriorEntry) -> Path | None:
    """Where the model card lies, if there is one."""
    file = file_of(entry)
    card = None if file is None or not entry.card else file.with_name(entry.card)
    return card if card is not None and card.is_file() else None


def status_of(entry: PriorEntry) -> str:
    """How a prior can be had.

    One of 'shipped', 'installed', 'missing' (its file is gone), 'to fetch', 'by hand' (only its page is known) and
    'built in' (it has no file).
    """
    if entry.kind is Kind.builtin:
        return "built in"
    file = file_of(entry)
    if file is None:
        return "to fetch" if entry.download else "by hand"
    return str(entry.kind) if file.is_file() else "missing"


def available_priors() -> list[str]:
    """Names that can be loaded: the shipped priors, those that are installed, and the ones that need no weights."""
    return list(loadable())


def load_prior(name: str | Path) -> Prior:
    """Load a prior by its name in the registry, or from the path of a weights file.

    'deep-image' is the untrained network, for images that no prior was trained on.

    Raises
    ------
    WeightsError
        There is none of this name, or its file is missing, damaged or not the one the registry knows.
    """
    entry = entry_of(str(name))
    if entry is not None:
        return load_entry(entry)
    path = Path(name)
    if path.suffix or path.exists():
        return read_prior(path)
    if str(name) in published():
        raise WeightsError(f"the prior {name} is not on this machine yet; run `napari-brgm weights fetch {name}` first")
    known = ", ".join(available_priors())
    raise WeightsError(f"there is no prior {str(name)!r}; choose one of {known}, or give the path of a weights file")


def load_entry(entry: PriorEntry) -> Prior:
    """Load the prior of an entry, its weights after a look at their hash.

    Raises
    ------
    WeightsError
        The file is missing, damaged or not the one that the entry knows.
    """
    if entry.kind is Kind.builtin:
        make = families()[entry.family].make
        assert make is not None, "a family makes what it has built in"
        return make(entry.name)
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
    info = replace(
        prior.info, rotation=float(entry.rotation), misfit_limit=float(entry.misfit_limit),
        suspect_limit=float(entry.suspect_limit), calibration=entry.calibration,
        preset=entry.preset or prior.info.preset,
    )  # fmt: skip
    if not shipped:  # published formats say nothing of anatomy: the entry does
        info = replace(info, name=entry.name, modality=info.modality or entry.modality, plane=info.plane or entry.plane)
    prior.info = info
    return prior
