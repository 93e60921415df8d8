"""Series from an archive into a folder: kept where a person wants them, else for as long as it takes to open them."""

from __future__ import annotations

import re
import shutil
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from napari_brgm.errors import OutputError
from napari_brgm.reason import reason_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from napari_brgm.pacs.address_book import Address
    from napari_brgm.pacs.archive import FoundSeries
    from napari_brgm.plugin.background import Tell

__all__ = ["FetchedSeries", "fetch_series"]


@dataclass(frozen=True, slots=True)
class FetchedSeries:
    """A folder of series, each in a folder of its own; ``passing``: what is to be removed once they are open."""

    folder: Path
    passing: Path | None = None

    def forget(self) -> None:
        """Remove what is not kept."""
        if self.passing is not None:
            shutil.rmtree(self.passing, ignore_errors=True)


def fetch_series(address: Address, series: Sequence[FoundSeries], keep: Path | None, tell: Tell) -> FetchedSeries:
    """Fetch series, all or none.

    Parameters
    ----------
    keep : Path or None
        The folder in which theirs is made, by the number of the first; None: nothing is kept.
    tell : callable
        Called with (what, images, images of all or None); what it raises ends the fetching, and no file is left.

    Raises
    ------
    ArchiveError, OutputError
    """
    from napari_brgm.pacs.opening import open_archive
    from napari_brgm.scans.outputs import Outputs

    archive = open_archive(address)
    counts = [one.images for one in series]
    total = sum(n or 0 for n in counts) if all(counts) else None
    done = 0

    def into(folder: Path) -> None:
        nonlocal done
        folder.mkdir()
        for number, one in enumerate(series):
            own, before = folder / f"{number + 1:02d}", done
            own.mkdir()

            def told(count: int, before: int = before) -> None:
                nonlocal done
                done = before + count
                tell(f"{done} images fetched", done, None if total is None else max(total, done))

            tell("fetching", done, total)
            archive.fetch(one, own, told)

    name = _name(series)
    if keep is not None:
        free, number = name, 1
        while (keep / free).exists():
            number += 1
            free = f"{name}-{number}"
        with Outputs(keep, [free], overwrite=False, describe=False) as out:
            into(out.path(free))
        return FetchedSeries(keep / free)
    passing: Path | None = None
    try:
        passing = Path(tempfile.mkdtemp(prefix="napari-brgm-"))  # for its owner alone
        into(passing / name)
    except BaseException as error:
        if passing is not None:
            shutil.rmtree(passing, ignore_errors=True)
        if isinstance(error, OSError):
            raise OutputError(f"images cannot be kept while they are opened: {reason_of(error)}") from error
        raise
    return FetchedSeries(passing / name, passing)


def _name(series: Sequence[FoundSeries]) -> str:
    """'series-3', or 'series-3-and-2-more'."""
    first = re.sub(r"[^0-9]", "", series[0].number)[:12]
    more = f"-and-{len(series) - 1}-more" if len(series) > 1 else ""
    return f"series{'-' + first if first else ''}{more}"
