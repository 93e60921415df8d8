"""Install weights from a file, and remove them: checked, converted to safetensors, with a card and an entry."""

from __future__ import annotations

import shutil
from dataclasses import replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from napari_brgm.errors import OutputError, WeightsError
from napari_brgm.zoo.entry import Kind, PriorEntry, checked_name
from napari_brgm.zoo.families import families
from napari_brgm.zoo.files import read_prior, sha256_of
from napari_brgm.zoo.folder import ENTRY, cannot_write, installed, staged, unreadable, user_folder, write_json
from napari_brgm.zoo.header import with_family
from napari_brgm.zoo.registry import builtin, published, registered
from napari_brgm.zoo.trust import check_trusted, remember

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["check_free", "check_removable", "import_file", "remove"]

_UNSTATED = "not stated"
_LONGEST_CARD = 100_000  # characters of another's card that are taken over


def import_file(
    path: Path,
    name: str,
    *,
    licence: str = "",
    source: str = "",
    citation: str = "",
    replace_installed: bool = False,
) -> PriorEntry:
    """Install a weights file of any known format under ``name``; ``load_prior(name)`` finds it from then on.

    Parameters
    ----------
    path : Path
        A safetensors prior, or published weights: PyTorch or TensorFlow .pkl, rosinality .pt. No code in them runs.
    name : str
        That of a published entry fills in what is known of it, and the file must be the one trusted for it.
    licence, source, citation : str
        As the card will say them; those of the published entry, or 'not stated', where empty.

    Returns
    -------
    PriorEntry
        Of the installed prior.

    Raises
    ------
    WeightsError
        The file is not weights that can be used, not the trusted ones, or the name is taken.
    InputError
        The name cannot be one.
    OutputError
        The files cannot be written; nothing is installed then.
    """
    check_free(name, replace_installed)
    if not path.is_file():
        raise WeightsError(f"there is no weights file {path}; give the path of the file to import")
    listed = published().get(name)
    known = listed or PriorEntry(name, Kind.installed, title=name)
    try:
        original = sha256_of(path)
    except OSError as error:
        raise WeightsError(f"{path} cannot be read: {error.strerror or error}") from error
    if listed is not None:
        check_trusted(listed, original, path.name)
    described = replace(
        known,
        kind=Kind.installed,
        file=f"{name}.safetensors",
        card=f"{name}.md",
        licence=licence or known.licence or _UNSTATED,
        source=source or known.source or f"imported from {path.name}",
        citation=citation or known.citation,
        original_sha256=original,
        when=datetime.now(UTC).isoformat(timespec="seconds"),
        download=None,
    )
    with staged(name) as folder:
        entry = _take_over(path, described, folder) if _is_safetensors(path) else _convert(path, described, folder)
        if entry.original_sha256 != original:
            raise WeightsError(f"{path.name} was changed while it was read; import it again")
        if known.resolution not in (0, entry.resolution):  # before its hash is trusted for good
            raise WeightsError(
                f"{path.name} draws {entry.resolution} pixels a side where {name} has {known.resolution}; "
                "import it under another name"
            )
        write_json(folder / ENTRY, entry.to_json())
    if listed is not None:
        remember(listed, original, path.name)
    return entry


def check_removable(name: str) -> None:
    """Look whether a prior can be removed.

    Raises
    ------
    WeightsError
        It ships with the package, or is not installed.
    """
    if name in installed() or name in unreadable():
        return
    if name in registered() | builtin():
        raise WeightsError(f"{name} ships with napari-brgm and stays; only what was installed can be removed")
    raise WeightsError(f"{name!r} is not installed; `napari-brgm weights list` names what is")


def remove(name: str) -> None:
    """Remove an installed prior with its card.

    Raises
    ------
    WeightsError
        It ships with the package, or is not installed.
    OutputError
        Its files cannot be removed.
    """
    check_removable(name)
    folder = user_folder() / name
    gone = folder.with_name(f".{name}-removed")
    try:
        if gone.exists():
            shutil.rmtree(gone)
        folder.rename(gone)  # at once or not at all
        shutil.rmtree(gone)
    except OSError as error:
        raise OutputError(f"{folder} cannot be removed: {error.strerror or error}") from error


def check_free(name: str, replace_installed: bool = False) -> None:
    """Look whether a prior can be installed under ``name``.

    Raises
    ------
    InputError
        It cannot be a name.
    WeightsError
        It is taken.
    """
    if checked_name(name) in registered() | builtin():
        raise WeightsError(f"{name} is the name of a prior that ships with napari-brgm; choose another one")
    if not replace_installed and (name in installed() or name in unreadable()):
        raise WeightsError(f"{name} is installed already; choose another name, or remove it first")


def _is_safetensors(path: Path) -> bool:
    """Whether the file begins as a tensor file does: the length of its header, and the header's brace."""
    with path.open("rb") as file:
        head = file.read(9)
    return len(head) == 9 and head[8:] == b"{" and int.from_bytes(head[:8], "little") < 1 << 32


def _take_over(path: Path, described: PriorEntry, folder: Path) -> PriorEntry:
    """Copy a prior that is in our own format already."""
    file = folder / described.file
    try:
        shutil.copyfile(path, file)
    except OSError as error:
        raise cannot_write(folder.parent, error) from error
    prior = read_prior(file, described.name)  # the copy: the original may change meanwhile
    digest = sha256_of(file)
    entry = replace(
        described,
        modality=prior.info.modality or described.modality,
        plane=prior.info.plane or described.plane,
        resolution=prior.resolution,
        channels=prior.channels,
        format="ours",
        size=file.stat().st_size,
        sha256=digest,
        original_sha256=digest,
        family=prior.info.family,
        preset=prior.info.preset,
        rank=families()[prior.info.family].rank,
    )
    (folder / entry.card).write_text(_card(entry, path.name) + _given_card(path), "utf-8")
    return entry


def _convert(path: Path, described: PriorEntry, folder: Path) -> PriorEntry:
    """Convert published weights."""
    from napari_brgm.zoo.convert import import_weights

    done = import_weights(
        path,
        described.name,
        folder,
        licence=described.licence,
        source=described.source,
        citation=described.citation,
    )
    entry = replace(
        described,
        file=done.path.name,
        card=done.card.name,
        resolution=done.resolution,
        channels=done.channels,
        format=done.format,
        size=done.path.stat().st_size,
        sha256=done.sha256,
        original_sha256=done.original_sha256,
    )
    return with_family(entry, done.path)


def _given_card(path: Path) -> str:
    """The card that lies beside the file, as its training writes one; empty if there is none."""
    try:
        with path.with_suffix(".md").open(encoding="utf-8", errors="replace") as file:
            given = file.read(_LONGEST_CARD)
    except OSError:
        return ""
    return f"\n## The card that lay beside the file\n\n{given.strip()}\n"


def _card(entry: PriorEntry, original: str) -> str:
    """Model card of a prior that came without one."""
    anatomy = ", ".join(part for part in (entry.modality, entry.plane) if part) or "not stated"
    rows = {
        "Anatomy": anatomy,
        "Image": f"{entry.resolution} x {entry.resolution}, {entry.channels} channel(s)",
        "Licence": entry.licence,
        "Source": entry.source,
        "Citation": entry.citation or _UNSTATED,
        "Imported": f"{entry.when} from `{original}`",
        "SHA-256": f"`{entry.sha256}`",
    }
    known = "\n".join(f"- {key}: {value}" for key, value in rows.items())
    return (
        f"# {entry.name}\n\n{entry.title}. Imported by hand.\n"
        "**Research only. What it draws is synthetic; it is not for diagnosis.**\n\n"
        f"{known}\n\n"
        "How well it restores nobody has measured here; `napari-brgm evaluate priors` does.\n"
    )
