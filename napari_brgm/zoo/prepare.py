"""Prepare an installed generator: the straight line through its draws, fitted once and kept with its weights.

Restorations start from the line and are preconditioned by it (priors/line.py), where a generator without a linear part
of its own would begin at its mean latent. The network stays bit for bit what it was; the file gets a few tensors more,
and the card a sentence. Minutes to an hour of drawing, which may be cut: <home>/preparing/<name>.safetensors keeps what
there is.
"""

from __future__ import annotations

import shutil
import time
from dataclasses import replace
from typing import TYPE_CHECKING

import torch

from napari_brgm.errors import WeightsError
from napari_brgm.priors.line import LineFit
from napari_brgm.priors.parts import Parts
from napari_brgm.tensor_file import TensorFileError, read_header, read_tensors, write_tensors
from napari_brgm.zoo.described import parts_tensors
from napari_brgm.zoo.entry import Kind
from napari_brgm.zoo.files import read_prior, sha256_of
from napari_brgm.zoo.folder import ENTRY, cannot_write, home, installed, staged, user_folder, write_json
from napari_brgm.zoo.registry import builtin, registered

if TYPE_CHECKING:
    from types import TracebackType
    from typing import Self

    from napari_brgm.zoo.entry import PriorEntry

__all__ = ["LONGEST", "Preparation", "can_be_prepared"]

LONGEST = 900.0  # seconds that an import spends on it unasked

_FAMILY = "stylegan2"
_LINES = ("linear.basis", "linearisation.basis")
_KEEP_SECONDS = 60.0
_CARD = """
## Straight line
Beside the network lies the least-squares line through {draws:,} of its draws, from which restorations start. It was
fitted on this machine and changes no image that the network draws.
"""


def can_be_prepared(entry: PriorEntry) -> bool:
    """Whether it is an installed StyleGAN2 without a line."""
    if entry.kind is not Kind.installed or entry.family != _FAMILY:
        return False
    try:
        names, _ = read_header(user_folder() / entry.name / entry.file)
    except (OSError, TensorFileError):
        return False
    return not any(line in names for line in _LINES)


class Preparation:
    """The fit of one prior's line: ``more`` until nothing is left, then ``finish``; leaving the ``with`` keeps all.

    Parameters
    ----------
    name : str
        Of an installed prior.
    device : torch.device or str
        That draws.

    Attributes
    ----------
    done, total : int
        Images drawn and to be drawn.

    Raises
    ------
    WeightsError
        There is no such prior, or nothing to prepare.
    OutputError
        The files cannot be written.
    """

    def __init__(self, name: str, device: torch.device | str = "cpu") -> None:
        entry = installed().get(name)
        if entry is None and name in registered() | builtin():
            raise WeightsError(f"{name} ships with napari-brgm and needs no preparation")
        if entry is None:
            raise WeightsError(f"{name!r} is not installed; `napari-brgm weights list` names what is")
        if not can_be_prepared(entry):
            has = "has its straight line" if entry.family == _FAMILY else "is of a kind that has no straight line"
            raise WeightsError(f"{name} needs no preparation: it {has}")
        self.entry, self._file = entry, user_folder() / name / entry.file
        self._fit = LineFit(read_prior(self._file, name).to(device))
        self._kept = home() / "preparing" / f"{name}.safetensors"
        if self._kept.is_file():
            self._resume()
        self._began, self._first, self._saved = time.monotonic(), self._fit.done, time.monotonic()

    @property
    def done(self) -> int:
        return self._fit.done

    @property
    def total(self) -> int:
        return self._fit.total

    @property
    def seconds_left(self) -> float:
        """By what was drawn since it began; nan before that."""
        drawn = self.done - self._first
        if not drawn:
            return float("nan")
        return (time.monotonic() - self._began) / drawn * (self.total - self.done)

    def more(self) -> None:
        """Draw the next images."""
        self._fit.more()
        if time.monotonic() - self._saved > _KEEP_SECONDS:
            self.keep()

    def keep(self) -> None:
        """Write what there is, to go on from."""
        try:
            self._kept.parent.mkdir(parents=True, exist_ok=True)
            write_tensors(self._kept, self._fit.state(), {"weights": self.entry.sha256 or ""})
        except OSError as error:
            raise cannot_write(self._kept.parent, error) from error
        self._saved = time.monotonic()

    def finish(self) -> PriorEntry:
        """Put the line beside the network; gives the new entry."""
        assert self.done >= self.total, "not all images are drawn"
        name, old = self.entry.name, self._file.parent
        tensors, metadata = read_tensors(self._file)
        tensors |= parts_tensors(Parts(line=self._fit.line()), torch.float16)
        with staged(name) as folder:
            shutil.copytree(old, folder, dirs_exist_ok=True)
            file = folder / self.entry.file
            write_tensors(file, tensors, metadata)
            read_prior(file, name)  # before it takes the old one's place
            entry = replace(self.entry, size=file.stat().st_size, sha256=sha256_of(file))
            if entry.card:
                with (folder / entry.card).open("a", encoding="utf-8") as card:
                    card.write(_CARD.format(draws=self.total))
            write_json(folder / ENTRY, entry.to_json())
        self._kept.unlink(missing_ok=True)
        return entry

    def _resume(self) -> None:
        """Go on from what was kept, where it is of these weights."""
        try:
            state, metadata = read_tensors(self._kept)
            if metadata.get("weights") == self.entry.sha256:
                self._fit.go_on_from(state)
        except (OSError, TensorFileError, WeightsError):  # begun again: it is only time
            return

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:  # fmt: skip
        if self._first < self.done < self.total:
            self.keep()
