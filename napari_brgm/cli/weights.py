"""``napari-brgm weights``: list, fetch, import, prepare, verify and remove priors."""

from __future__ import annotations

import json
import sys
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from napari_brgm.cli.options import Device
from napari_brgm.cli.terminal import say, say_path
from napari_brgm.errors import WeightsError
from napari_brgm.text import sentence

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from rich.console import RenderableType

    from napari_brgm.zoo.entry import PriorEntry
    from napari_brgm.zoo.prepare import Preparation

__all__ = ["weights"]

weights = typer.Typer(
    help="Priors: those that ship, those you installed, and those that others have published.",
    rich_markup_mode="markdown",
    no_args_is_help=True,
)

_DECLINED = 1
_FAILED = 1
_COLOURS = {
    "shipped": "green", "installed": "cyan", "to fetch": "yellow", "by hand": "dim", "missing": "red",
    "intact": "green", "FAILED": "bold red",
}  # fmt: skip
Name = Annotated[str, typer.Argument(metavar="NAME", help="Name of the prior (see `weights list`).")]
Yes = Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")]
Quick = Annotated[
    bool, typer.Option("--quick", help="Leave out the straight line that restorations start from (weights prepare).")
]


@weights.command("list")
def list_priors(
    as_json: Annotated[bool, typer.Option("--json", help="Everything that is known, as JSON.")] = False,
) -> None:
    """List the priors with size, licence and status.

    Status: shipped, installed, to fetch (`weights fetch NAME`), by hand (only a page is known), missing.
    """
    from napari_brgm.zoo.registry import catalogue, status_of

    entries = catalogue()
    if as_json:
        records = [entry.to_json() | {"status": status_of(entry)} for entry in entries]
        say(json.dumps(records, indent=2))
        return
    rows = [
        (
            entry.name,
            entry.modality or "-",
            entry.plane or "-",
            str(entry.resolution or "-"),
            "-" if entry.size is None else f"{entry.size / 1e6:.1f} MB",
            entry.licence or "-",
            status_of(entry),
        )
        for entry in entries
    ]
    _table(("name", "modality", "plane", "pixels", "size", "licence", "status"), rows)


@weights.command(
    epilog="Examples:\n\nnapari-brgm weights fetch brgm-brains\n\nnapari-brgm weights fetch brgm-brains --yes"
)
def fetch(
    name: Name,
    yes: Yes = False,
    again: Annotated[bool, typer.Option("--again", help="Even if it is installed; the hash must be the same.")] = False,
    quick: Quick = False,
) -> None:
    """Download published weights, after asking, and convert them to safetensors without running their code.

    A download that was cut goes on where it was when the command is given again.
    """
    from napari_brgm.zoo import fetch as fetching

    entry = fetching.fetchable(name, again)
    for what, said in fetching.terms(entry).items():
        say(f"  {what:8} {said}", err=True)
    if not (yes or _agreed(f"Download {name}?")):
        say("nothing was fetched", err=True)
        raise typer.Exit(_DECLINED)
    with _byte_bar() as tell:
        done = fetching.fetch(name, agreed=True, again=again, progress=tell)
    if not quick:
        _prepare_shortly(done)
    say(f"{done.name}: installed, {done.resolution} x {done.resolution}; use it with --prior {done.name}")


@weights.command(
    "import",
    epilog="Examples:\n\nnapari-brgm weights import network.pkl --name knee-256 --licence 'CC BY 4.0'\n\n"
    "napari-brgm weights import brains.pkl --name brgm-brains",
)
def import_weights(
    file: Annotated[
        Path,
        typer.Argument(
            metavar="FILE",
            help="Safetensors, or a StyleGAN2 of PyTorch, TensorFlow or rosinality (.pkl, .pt, .gz ...).",
        ),
    ],
    name: Annotated[str, typer.Option("--name", help="What to call the prior: small letters, digits, '-' and '_'.")],
    licence: Annotated[str, typer.Option(help="Licence, for the model card.", show_default=False)] = "",
    source: Annotated[str, typer.Option(help="Where the file is from, for the card.", show_default=False)] = "",
    citation: Annotated[str, typer.Option(help="What to cite, for the card.", show_default=False)] = "",
    quick: Quick = False,
) -> None:
    """Install a weights file of your own, or one that was fetched by hand; no code in it runs.

    Under the name of published weights the file is theirs only if its hash was published or it came from their address;
    else its card says that nobody has verified it. A file that differs from the first one of that name is refused.
    """
    from napari_brgm.zoo.install import import_file
    from napari_brgm.zoo.registry import card_of

    done = import_file(file, name, licence=licence, source=source, citation=citation)
    if not quick:
        _prepare_shortly(done)
    say(f"{done.name}: installed, {done.resolution} x {done.resolution}; use it with --prior {done.name}")
    if (card := card_of(done)) is not None:
        say_path(card)


@weights.command(epilog="Example:\n\nnapari-brgm weights prepare my-faces")
def prepare(name: Name, device: Device = "auto") -> None:
    """Fit the straight line from which restorations with an imported network start, once.

    An import does it where it takes less than a quarter of an hour. Ctrl-C keeps what there is, and the same command
    goes on.
    """
    from napari_brgm.engine.devices import pick_device
    from napari_brgm.zoo.prepare import Preparation

    with Preparation(name, pick_device(device)) as work:
        try:
            _draw(work)
        except KeyboardInterrupt:
            say(f"{work.done} of {work.total} images are kept; the same command goes on", err=True)
            raise
    say(f"{name}: restorations start from its straight line now")


def _prepare_shortly(entry: PriorEntry) -> None:
    """Prepare what was just installed, unless that takes long: then only say how."""
    from napari_brgm.engine.devices import pick_device
    from napari_brgm.engine.estimate import in_words
    from napari_brgm.zoo.prepare import LONGEST, Preparation, can_be_prepared

    if not can_be_prepared(entry):
        return
    with Preparation(entry.name, pick_device("auto")) as work:
        work.more()
        if work.seconds_left > LONGEST:
            say(
                f"{entry.name}: fitting the straight line that restorations start from takes "
                f"{in_words(work.seconds_left)}; they work without it, more slowly; "
                f"`napari-brgm weights prepare {entry.name}` does it",
                err=True,
            )
            return
        say(
            f"{entry.name} is installed; fitting the straight line that restorations start from "
            f"({in_words(work.seconds_left)}; --quick leaves it out, Ctrl-C puts it off)",
            err=True,
        )
        try:
            _draw(work)
        except KeyboardInterrupt:
            say(f"put off; `napari-brgm weights prepare {entry.name}` goes on", err=True)


def _draw(work: Preparation) -> None:
    """Draw all images that are left, and finish."""
    from napari_brgm.cli.progress import count_bar

    with count_bar() as tell:
        while work.done < work.total:
            tell(work.done, work.total, "images drawn")
            work.more()
    work.finish()


@weights.command()
def verify(as_json: Annotated[bool, typer.Option("--json", help="The verdicts as JSON.")] = False) -> None:
    """Hash and load every prior that is here; exit code 1 if one fails."""
    from napari_brgm.cli.progress import count_bar
    from napari_brgm.zoo.verify import verify as every

    verdicts = []
    with count_bar() as tell:
        for verdict in every():
            verdicts.append(verdict)
            if sys.stderr.isatty():
                tell(len(verdicts), len(verdicts), verdict.name)
    if as_json:
        say(json.dumps([asdict(verdict) for verdict in verdicts], indent=2))
    else:
        rows = [(v.name, str(v.kind), "intact" if v.intact else "FAILED", v.sentence) for v in verdicts]
        _table(("name", "kind", "verdict", "what was found"), rows)
    if not all(verdict.intact for verdict in verdicts):
        raise typer.Exit(_FAILED)


@weights.command()
def remove(name: Name, yes: Yes = False) -> None:
    """Remove a prior that you installed, after asking. Those that ship stay."""
    from napari_brgm.zoo import install

    install.check_removable(name)
    if not (yes or _agreed(f"Remove {name} and its model card from this machine?")):
        say("nothing was removed", err=True)
        raise typer.Exit(_DECLINED)
    install.remove(name)
    say(f"{name}: removed")


def _agreed(text: str) -> bool:
    try:
        return typer.confirm(text, err=True)
    except typer.Abort:
        say(err=True)  # the question's line has no end yet
        raise WeightsError("nobody answered, so nothing was done; add --yes where nobody can") from None


def _table(headings: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Print a table for eyes, or where the output is a pipe, lines of tab-separated fields under their headings."""
    if not sys.stdout.isatty():
        for row in (headings, *rows):
            say("\t".join(sentence(field) for field in row))
        return
    from rich import box
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for heading in headings:
        long = heading in ("licence", "what was found")
        table.add_column(heading, justify="right" if heading in ("pixels", "size") else "left", no_wrap=not long)
    for row in rows:
        fields: list[RenderableType] = [Text(sentence(field), style=_COLOURS.get(field, "")) for field in row]
        table.add_row(*fields)
    Console().print(table)


@contextmanager
def _byte_bar() -> Iterator[Callable[[str, int, int | None], None]]:
    """Show how many bytes have come and how many are to come."""
    from rich.console import Console
    from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn, TransferSpeedColumn

    columns = (TextColumn("{task.description}", markup=False), BarColumn(), DownloadColumn(), TransferSpeedColumn())
    with Progress(*columns, TimeRemainingColumn(), console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task("connecting", total=None)

        def tell(what: str, done: int, total: int | None) -> None:
            if what == "fetching":
                bar.update(task, description=sentence(what), completed=done, total=total)
            else:
                bar.update(task, description=sentence(what))

        yield tell
