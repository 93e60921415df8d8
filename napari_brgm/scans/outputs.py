"""Result files: nothing overwritten unasked, all of them or none, and for their owner alone.

Files, or whole folders, are written into a hidden folder beside their places and moved when all are complete. They can
be read by who computed them alone (0600, in folders of 0700), whatever the umask: they show patients.
"""

from __future__ import annotations

import errno
import json
import os
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar, Self

from napari_brgm.errors import OutputError
from napari_brgm.reason import advice_of, reason_of
from napari_brgm.scans.claim import Claim, one_at_a_time
from napari_brgm.scans.record import SOFTWARE, dataset_description
from napari_brgm.scans.staging import PRIVATE_FILE, Staging, private_folder, remove_stale
from napari_brgm.text import plain_text

if TYPE_CHECKING:
    from collections.abc import Iterable
    from types import TracebackType

__all__ = ["Outputs"]

_DESCRIPTION = "dataset_description.json"
_ABOVE = 4  # folders above one of results, such as sub-01/ses-1/anat
_OF_WRITING = (errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EFBIG, errno.EIO)  # named or not, a file was written


def _describes_ours(path: Path) -> bool:
    """Whether a dataset description is that of restorations of ours."""
    try:
        about = json.loads(path.read_text("utf-8"))
        return any(one["Name"] == SOFTWARE for one in about["GeneratedBy"])
    except (OSError, ValueError, TypeError, KeyError):
        return False


class Outputs:
    """Write files into ``folder``: all appear when the ``with`` block ends well, and none when it does not.

    What a run that was killed has left in the folder is removed.

    Parameters
    ----------
    folder : Path
        Made if missing.
    names : iterable of str
        Every file or folder that will be written.
    overwrite : bool
        Replace files and folders that exist.
    describe : bool
        Add the dataset description that BIDS asks for.

    Raises
    ------
    OutputError
        On entering: a file exists already, the folder cannot be written to, or does not take such a name. On leaving:
        a file exists by now, or something could not be written; with the system's reason.
    """

    choose: ClassVar[str] = "choose another name or folder"  # what to do where a file exists ...
    allow: ClassVar[str] = "allow overwriting"  # ... or else
    writable: ClassVar[str] = "choose a folder that can be written"

    def __init__(self, folder: Path, names: Iterable[str], overwrite: bool, *, describe: bool = True) -> None:
        self.folder, self.names, self.overwrite, self.describe = folder, tuple(names), overwrite, describe
        self._made: list[Path] = []
        self._gone: list[str] = []
        self._staging: Staging | None = None

    def __enter__(self) -> Self:
        existing = [name for name in self.names if os.path.lexists(self.folder / name)]
        if existing and not self.overwrite:
            raise self._exists(existing[0])
        remove_stale(self.folder)
        try:
            for path in reversed([path for path in (self.folder, *self.folder.parents) if not path.exists()]):
                private_folder(path)
                self._made.append(path)
            self._staging = Staging.made_in(self.folder)
            for name in self.names:  # an hour before it would be too late
                self._try(name)
        except OSError as error:
            self._clean()
            raise self._failed(error) from error
        except BaseException:
            self._clean()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            if kind is None:
                self._place()
            cause = error.__cause__ if isinstance(error, OutputError) else error
            if isinstance(cause, OSError) and self._is_ours(cause):
                raise self._failed(cause) from error
        finally:
            self._clean()

    def path(self, name: str) -> Path:
        """Where to write the file of this name."""
        assert name in self.names, name
        assert self._staging is not None
        return self._staging.path / name

    def leave_out(self, name: str) -> None:
        """Do without the file of this name."""
        self.names = tuple(other for other in self.names if other != name)

    def do_without(self, name: str) -> None:
        """Leave the file of this name out, and take away one that an earlier run wrote."""
        self.leave_out(name)
        self._gone.append(name)

    def _place(self) -> None:
        """Move all files to their places, or none."""
        assert self._staging is not None
        claim = Claim(self._staging.path, self.overwrite)
        name = ""
        try:
            with one_at_a_time(self.folder):
                for name in self.names:
                    claim.put(self.path(name), self.folder / name)
                if self.overwrite:
                    for name in self._gone:  # of an earlier run: it would pass for one of this
                        claim.take_away(self.folder / name)
                if self.names and self.describe:
                    self._describe()
        except FileExistsError as error:
            claim.take_back()
            raise self._exists(name) from error
        except OSError as error:
            claim.take_back()
            raise self._failed(error) from error
        except BaseException:
            claim.take_back()
            raise

    def _describe(self) -> None:
        """Add the dataset description that BIDS asks of derivatives, if neither the folder nor one above has ours."""
        if any(_describes_ours(above / _DESCRIPTION) for above in list(self.folder.absolute().parents)[:_ABOVE]):
            return
        path = self.folder / _DESCRIPTION
        with suppress(FileExistsError), path.open("x", encoding="utf-8") as file:
            path.chmod(PRIVATE_FILE)
            file.write(json.dumps(dataset_description(), indent=2) + "\n")

    def _try(self, name: str) -> None:
        """Look whether the folder takes a file of this name; OSError."""
        place = self.path(name)
        place.touch(PRIVATE_FILE)
        place.unlink()

    def _clean(self) -> None:
        if self._staging is not None:
            self._staging.remove()
        for path in reversed(self._made):
            with suppress(OSError):  # not empty: it is wanted
                path.rmdir()

    def _is_ours(self, error: OSError) -> bool:
        """Whether an error is about writing here, and not about whatever else was read meanwhile."""
        if error.filename is None:
            return error.errno in _OF_WRITING
        return self._staging is not None and str(self._staging.path) in os.fsdecode(error.filename)

    def _exists(self, name: str) -> OutputError:
        return OutputError(
            f"{plain_text(name)} exists already in {plain_text(self.folder)}; {self.choose} or {self.allow}"
        )

    def _failed(self, error: OSError) -> OutputError:
        """The sentence of an error: the system's reason, and the file and folder that the person knows."""
        what = Path(os.fsdecode(error.filename)).name if error.filename is not None else ""
        if len(self.names) == 1:
            what = self.names[0]
        what = f"{plain_text(what)} " if what in self.names else ""
        return OutputError(
            f"cannot write {what}into {plain_text(self.folder)}: {reason_of(error)}; {advice_of(error, self.writable)}"
        )
