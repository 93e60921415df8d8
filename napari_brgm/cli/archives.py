"""``napari-brgm archives``, ``pull`` and ``push``: DICOM archives (PACS)."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from napari_brgm.cli.options import Overwrite
from napari_brgm.cli.terminal import say, say_note, say_path
from napari_brgm.errors import InputError
from napari_brgm.text import plain_text

__all__ = ["archives", "pull", "push"]

archives = typer.Typer(
    help="The address book of DICOM archives (PACS) that pull and push speak to.",
    rich_markup_mode="markdown",
    no_args_is_help=True,
)
Name = Annotated[str, typer.Argument(metavar="ARCHIVE", help="Its name in the address book (see `archives list`).")]
_DECLINED = 1


@archives.command("list")
def list_archives() -> None:
    """List the archives; nothing is sent."""
    from napari_brgm.pacs.address_book import addresses

    for address in addresses().values():
        way = "DICOMweb" if address.url else f"DIMSE as {address.own_title}"
        say(f"{address.name}\t{address.where}\t{way}{'' if address.encrypted else ', not encrypted'}")


@archives.command("add")
def add_archive(
    name: Annotated[str, typer.Argument(metavar="NAME", help="What you call it.")],
    url: Annotated[str, typer.Option(help="Of DICOMweb, such as https://pacs.example.org/dicom-web.")] = "",
    host: Annotated[str, typer.Option(help="Of DIMSE, in place of --url.")] = "",
    port: Annotated[int, typer.Option(help="Of DIMSE.")] = 104,
    title: Annotated[str, typer.Option(help="The archive's AE title (DIMSE).")] = "",
    own_title: Annotated[str, typer.Option(help="The AE title that it knows you by.")] = "NAPARI-BRGM",
    listen: Annotated[
        int, typer.Option(help="Fetch by C-MOVE: the port of this machine that it delivers to; 0: by C-GET.")
    ] = 0,
    tls: Annotated[bool, typer.Option("--tls", help="Encrypt DIMSE.")] = False,
    authority: Annotated[
        str, typer.Option(help="PEM file of who vouches for it; default: whom this system trusts.")
    ] = "",
    certificate: Annotated[str, typer.Option(help="PEM file that it is shown.")] = "",
    key: Annotated[str, typer.Option(help="PEM file of the certificate's key.")] = "",
) -> None:
    """Put an archive into the address book, in place of one of its name; nothing is sent."""
    from napari_brgm.pacs.address_book import Address, add_address

    files = [str(Path(file).expanduser().resolve()) if file else "" for file in (authority, certificate, key)]
    if missing := next((file for file in files if file and not Path(file).is_file()), None):
        raise InputError(f"there is no file {Path(missing).name}; check the path")
    address = Address(
        name, url, host, port if host else 0, title, own_title, listen, tls,
        authority=files[0], certificate=files[1], key=files[2],
    )  # fmt: skip
    add_address(address)
    if not address.encrypted:
        say_note("others on the network can read what goes to and from this archive: it has neither https nor --tls")


@archives.command("remove")
def remove_archive(name: Name) -> None:
    """Take an archive out of the address book."""
    from napari_brgm.pacs.address_book import remove_address

    remove_address(name)


def pull(
    archive: Name,
    patient_id: Annotated[str, typer.Option(help="The patient's number.")] = "",
    accession: Annotated[str, typer.Option(help="Accession number of the study.")] = "",
    date: Annotated[str, typer.Option(help="Of the study: 20260131, or 20260101-20260131.")] = "",
    study: Annotated[str, typer.Option(help="UID of the study.")] = "",
    modality: Annotated[str, typer.Option(help="MR, CT, CR, ...")] = "",
    series: Annotated[str, typer.Option(help="UID of the series.")] = "",
    out: Annotated[
        Path | None, typer.Option(help="Folder for the images of the series; without it series are listed.")
    ] = None,
    with_description: Annotated[
        bool, typer.Option("--with-description", help="List descriptions too, which name people sometimes.")
    ] = False,
    overwrite: Overwrite = False,
) -> None:
    """List series of an archive, or fetch one.

    A line of the list is the study's date, modality, series number, number of images, UID of the study and of the
    series. With --out the one series that fits is fetched, whole or not at all, as the archive holds it.
    """
    from napari_brgm.cli.progress import count_bar
    from napari_brgm.cli.target import ShellOutputs
    from napari_brgm.pacs.address_book import address_of
    from napari_brgm.pacs.archive import SeriesQuery
    from napari_brgm.pacs.opening import open_archive

    query = SeriesQuery(patient_id, accession, date, study, modality, series)
    opened = open_archive(address_of(archive))
    found = opened.find(query)
    if out is None:
        for one in found:
            images = "?" if one.images is None else one.images
            fields = [one.date, one.modality, one.number, images, one.study, one.uid]
            say("\t".join(plain_text(field) for field in fields + [one.description] * with_description))
        return
    if not found:
        raise InputError(f"{archive} holds no such series; leave options out to see more")
    if len(found) > 1:
        raise InputError(f"{len(found)} series fit; choose one with --series, or list them without --out")
    with ShellOutputs(out.parent, [out.name], overwrite, describe=False) as files:
        folder = files.path(out.name)
        folder.mkdir()
        with count_bar() as tell:
            opened.fetch(found[0], folder, lambda done: tell(done, max(done, found[0].images or 0), "images fetched"))
    say_path(out)


def push(
    archive: Name,
    results: Annotated[
        list[Path], typer.Argument(metavar="RESULT...", help="Folders or files of results as DICOM (...Dicom...).")
    ],
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
) -> None:
    """Send results to an archive: what this program wrote as DICOM, and nothing else.

    What will be sent, and where to, is told before, and asked for.
    """
    from napari_brgm.cli.progress import count_bar
    from napari_brgm.pacs.address_book import address_of
    from napari_brgm.pacs.opening import open_archive
    from napari_brgm.pacs.outgoing import results_in

    address = address_of(archive)
    opened = open_archive(address)
    files, kinds = results_in(results)
    listed = ", ".join(f"{count} of {kind}" for kind, count in kinds.items())
    hidden = "" if address.encrypted else "; not encrypted"
    question = f"send {len(files)} files ({listed}) to {address.name} ({address.where}{hidden})?"
    if not yes and not typer.confirm(plain_text(question), err=True):
        say("nothing was sent", err=True)
        raise typer.Exit(_DECLINED)
    with count_bar() as tell:
        opened.send(files, lambda done: tell(done, len(files), "files sent"))
