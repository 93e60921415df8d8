"""Verify: every file that is here is hashed again and loaded."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from napari_brgm.errors import BrgmError
from napari_brgm.reason import reason_of
from napari_brgm.zoo.entry import Kind, PriorEntry
from napari_brgm.zoo.folder import installed, unreadable
from napari_brgm.zoo.registry import load_entry, registered

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["Verdict", "verify"]


@dataclass(frozen=True, slots=True)
class Verdict:
    """What became of one prior.

    Attributes
    ----------
    sentence : str
        What was found, or what is wrong and what to do.
    """

    name: str
    kind: Kind
    intact: bool
    sentence: str


def verify() -> Iterator[Verdict]:
    """Hash and load each shipped and installed prior, one a step."""
    shipped = registered()
    yield from map(_verdict, shipped.values())
    for entry in installed().values():
        if entry.name in shipped:
            other = "a prior of this name ships with napari-brgm now and is the one that is loaded; remove this one"
            yield Verdict(entry.name, entry.kind, False, other)
        else:
            yield _verdict(entry)
    for name, sentence in unreadable().items():
        yield Verdict(name, Kind.installed, False, sentence)


def _verdict(entry: PriorEntry) -> Verdict:
    began = time.perf_counter()
    try:
        prior = load_entry(entry)
    except BrgmError as error:
        return Verdict(entry.name, entry.kind, False, str(error))
    except OSError as error:
        return Verdict(entry.name, entry.kind, False, f"{entry.file} cannot be read: {reason_of(error)}")
    if prior.resolution != entry.resolution:
        wrong = f"it draws {prior.resolution} pixels a side where the registry says {entry.resolution}"
        return Verdict(entry.name, entry.kind, False, f"{wrong}; install it again")
    seconds = time.perf_counter() - began
    return Verdict(entry.name, entry.kind, True, f"hash and content intact, loaded in {seconds:.1f} s")
