"""Install weights from a file, and remove them: checked, converted to safetensors, with a card and an entry."""

from __future__ import annotations

import shutil
from dataclasses import replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from napari_brgm.errors import OutputError, WeightsError
from napari_brgm.tensor_file import read_header
from napari_brgm.text import as_markdown, sentence
from napari_brgm.zoo.entry import Kind, PriorEntry, checked_name
from napari_brgm.zoo.families import families
from napari_brgm.zoo.files import read_prior, sha256_of
from napari_brgm.zoo.folder import ENTRY, cannot_write, installed, staged, unreadable, user_folder, write_json
from napari_brgm.zoo.header import with_family
from napari_brgm.zoo.identity import as_far_as_known, identity_of
from napari_brgm.zoo.published_file import is_bare_table
from napari_brgm.zoo.registry import builtin, published, registered
from napari_brgm.zoo.trust import check_trusted, remember

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["check_free", "check_removable", "import_file", "remove"]

_UNSTATED = "not stated"
_LAYOUTS = {"pytorch": "PyTorch pickle", "tensorflow": "TensorFlow pickle", "rosinality": "rosinality checkpoint"}
_UNMEASURED = "How well it restores nobody has measured here; `napari-brgm evaluate priors` does."
_MEASURED = "Misfit limit and calibration of its intervals came with the file; its card says of whom they are."
_LONGEST_CARD = 100_000  # characters of another's card that are taken over


def import_file(
    path: Path,
    name: str,
    *,
    licence: str = "",
    source: str = "",
    citation: str = "",
    replace_installed: bool = False,
    fetched_from: str = "",
) -> PriorEntry:
    """Install a weights file of any known format under ``name``; ``load_prior(name)`` finds it from then on.

    Parameters
    ----------
    path : Path
        A safetensors prior, or published weights as ``read_published`` takes them. No code in them runs.
    name : str
        That of a published entry fills in what is known of it, and the file must be the one trusted for it. Where
        nothing tells whether it is that file, entry and card say so (zoo/identity.py).
    licence, source, citation : str
        As the card will say them; those of the published entry, or 'not stated', where empty.
    fetched_from : str
        Address from which the file of a published entry was downloaded; empty for one that was brought by hand.

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
    identity = ""
    if listed is not None:
        check_trusted(listed, original, fetched_from or path.name)
        found = identity_of(listed, original, fetched_from)
        known, identity = as_far_as_known(listed, found, path.name), found.sentence
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
    with staged(name, replacing=replace_installed) as folder:
        entry = (_take_over if _is_own(path) else _convert)(path, described, folder, identity)
        if entry.original_sha256 != original:
            raise WeightsError(f"{path.name} was changed while it was read; import it again")
        if listed is not None:  # before its hash is trusted for good
            _check_kind(listed, entry, path.name)
        write_json(folder / ENTRY, entry.to_json())
    if listed is not None:
        remember(listed, original, fetched_from or path.name)
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


def _check_kind(listed: PriorEntry, entry: PriorEntry, file: str) -> None:
    """Refuse what cannot be the published file, whatever its name."""
    elsewhere = "import it under another name"
    if listed.resolution not in (0, entry.resolution):
        raise WeightsError(
            f"{file} draws {entry.resolution} pixels a side where {listed.name} has {listed.resolution}; {elsewhere}"
        )
    if listed.channels not in (0, entry.channels):
        raise WeightsError(
            f"{file} draws {entry.channels} channel(s) where {listed.name} has {listed.channels}; {elsewhere}"
        )
    published_as = _LAYOUTS.get(listed.format)
    if published_as is not None and entry.format not in ("ours", published_as):
        raise WeightsError(
            f"{file} is a {entry.format} where {listed.name} was published as a {published_as}; {elsewhere}"
        )


def _is_own(path: Path) -> bool:
    """Whether the file is a tensor file in a layout of this package, or one too damaged to tell."""
    with path.open("rb") as file:
        head = file.read(9)
    if len(head) < 9 or head[8:] != b"{" or int.from_bytes(head[:8], "little") >= 1 << 32:
        return False
    try:
        return not is_bare_table(read_header(path)[1])
    except ValueError:
        return True


def _take_over(path: Path, described: PriorEntry, folder: Path, identity: str) -> PriorEntry:
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
        spacing_mm=prior.info.spacing_mm,
        misfit_limit=prior.info.misfit_limit,
        suspect_limit=prior.info.suspect_limit,
        calibration=prior.info.calibration,
        format="ours",
        size=file.stat().st_size,
        sha256=digest,
        original_sha256=digest,
        family=prior.info.family,
        preset=prior.info.preset,
        rank=families()[prior.info.family].rank,
    )
    (folder / entry.card).write_text(_card(entry, path.name, identity) + _given_card(path), "utf-8")
    return entry


def _convert(path: Path, described: PriorEntry, folder: Path, identity: str) -> PriorEntry:
    """Convert published weights."""
    from napari_brgm.zoo.convert import import_weights

    done = import_weights(
        path,
        described.name,
        folder,
        licence=described.licence,
        source=described.source,
        citation=described.citation,
        identity=identity,
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
    return f"\n## The card that lay beside the file\n\n{as_markdown(given.strip())}\n"


def _card(entry: PriorEntry, original: str, identity: str) -> str:
    """Model card of a prior that came without one."""
    anatomy = ", ".join(part for part in (entry.modality, entry.plane) if part) or "not stated"
    rows = {
        "Anatomy": anatomy,
        "Image": f"{entry.resolution} x {entry.resolution}, {entry.channels} channel(s)",
        **({"Identity": identity} if identity else {}),
        "Licence": entry.licence,
        "Source": entry.source,
        "Citation": entry.citation or _UNSTATED,
        "Imported": f"{entry.when} from `{original}`",
        "SHA-256": f"`{entry.sha256}`",
    }
    how = "Fetched" if identity.startswith("fetched") else "Imported by hand"
    known = "\n".join(f"- {key}: {as_markdown(sentence(value))}" for key, value in rows.items())
    return (
        f"# {entry.name}\n\n{as_markdown(sentence(entry.title))}. {how}.\n"
        "**Research only. What it draws is synthetic; it is not for diagnosis.**\n\n"
        f"{known}\n\n"
        f"{_MEASURED if entry.calibration is not None else _UNMEASURED}\n"
    )
