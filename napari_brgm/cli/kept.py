"""Kept: restorations of a job that are on disk before they are counted, so that a run that was cut goes on.

    <out>/.unfinished-<key>/00012.safetensors     what became of restoration 12
                            00013.json            why 13 could not be restored
                            00012.lock            held by the process that works on the part that begins with 12

The key is a digest of all that decides a result: bytes of the inputs, prior, settings, seed, versions. Several
processes may work on one job: each takes the parts that no other has (engine/run.py: parts_of), and the last one writes
the results. Of a process that is killed outright only the part that it worked on is lost; its locks go with it.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any

from filelock import FileLock, Timeout

from napari_brgm.engine.restoration import Restoration
from napari_brgm.errors import BrgmError, InputError, OutputError
from napari_brgm.reason import advice_of, reason_of
from napari_brgm.scans.record import sidecar_of
from napari_brgm.scans.staging import PRIVATE_FILE, private_folder
from napari_brgm.text import plain_text
from napari_brgm.whole_file import whole_file

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from napari_brgm.cli.result_names import ResultNames

__all__ = ["JOB_KEY", "RESULTS_KEY", "KeptSlices", "Unfinished", "key_of", "made_before", "run_of"]

JOB_KEY, RESULTS_KEY = "job_sha256", "results"  # in the record of an image: of all that decided it; names of all files
_PREFIX = ".unfinished-"


class Unfinished(BrgmError):
    """Other processes are at work on what is left of this job, and will write its results."""


def key_of(**decisive: Any) -> str:
    """Digest of all that decides a result; values that JSON can hold."""
    return hashlib.sha256(json.dumps(decisive, sort_keys=True).encode()).hexdigest()


def run_of(key: str) -> str:
    """What tells the run of a job that may be resumed from others: the same whenever it goes on."""
    return key[:12]


def made_before(folder: Path, names: ResultNames, key: str) -> tuple[list[Path], bool]:
    """Files of these names that a job of this key has written, and whether all that its record names are there.

    No files where they are of another job: as the image's record says, else that of the variance, else a posterior.
    """
    found = [folder / name for name in names.told if (folder / name).exists()]
    record = next((one for name in names.images if (one := _record(sidecar_of(folder / name))) is not None), None)
    if record is None:
        return (found if _posterior_is_of(folder, names.posteriors, key) else []), False
    if record.get(JOB_KEY) != key:
        return [], False
    wanted = [str(name) for name in record.get(RESULTS_KEY, names.images[:1])]
    return found, all((folder / name).is_dir() or _has_content(folder / name) for name in wanted)


def _record(path: Path) -> dict[str, Any] | None:
    try:
        record = json.loads(path.read_text("utf-8"))
    except (OSError, ValueError):
        return None
    return record if isinstance(record, dict) else None


def _posterior_is_of(folder: Path, names: Sequence[str], key: str) -> bool:
    """Whether the first posterior that is there is one of this job."""
    path = next((folder / name for name in names if (folder / name).is_file()), None)
    try:
        return path is not None and Restoration.load(path).provenance.get("run") == run_of(key)
    except InputError:
        return False


def _has_content(path: Path) -> bool:
    return path.is_file() and path.stat().st_size > 0


class KeptSlices:
    """Restorations of one job, by their numbers, in a hidden folder beside its results.

    Parameters
    ----------
    out : Path
        Folder of the results; made if missing.
    key : str
        Of ``key_of``.

    Raises
    ------
    OutputError
        The folder cannot be made.
    """

    def __init__(self, out: Path, key: str) -> None:
        self.path = out / f"{_PREFIX}{key[:20]}"
        try:
            out.mkdir(mode=0o700, parents=True, exist_ok=True)
            with suppress(FileExistsError):
                private_folder(self.path)
        except OSError as error:
            advice = advice_of(error, "choose an --out folder that can be written")
            raise OutputError(f"cannot keep slices in {plain_text(out)}: {reason_of(error)}; {advice}") from error

    def holds(self, numbers: Sequence[int]) -> bool:
        """Whether it is known what became of all of these."""
        return all(self.file(n).is_file() or self._refusal(n).is_file() for n in numbers)

    def count(self) -> int:
        """Restorations of which it is known."""
        return sum(1 for one in self.path.iterdir() if one.suffix in (".safetensors", ".json"))

    def load(self, number: int) -> Restoration | InputError:
        """What became of a restoration, without its samples.

        Raises
        ------
        InputError
            The file is damaged; it is taken away, so that the next run makes it anew.
        """
        if self._refusal(number).is_file():
            return InputError(json.loads(self._refusal(number).read_text("utf-8"))["reason"])
        try:
            return Restoration.load(self.file(number)).without_samples()
        except InputError as error:
            self.file(number).unlink(missing_ok=True)
            raise InputError(f"a slice that was kept is damaged, and was taken away; run again: {error}") from error

    def save(self, number: int, restored: Restoration) -> None:
        """Put a restoration on disk, for good."""
        restored.save(self.file(number))
        with self._told():
            _settle(self.file(number))

    def refuse(self, number: int, reason: str) -> None:
        """Put on disk why there is none."""
        with self._told():
            with whole_file(self._refusal(number), private=True) as draft:
                draft.write_text(json.dumps({"reason": reason}), "utf-8")
            _settle(self._refusal(number))

    def put(self, number: int, target: Path) -> None:
        """Let the file of a restoration appear as ``target`` too, without a copy where the disk can do that."""
        try:
            os.link(self.file(number), target)
        except OSError:
            with self._told():
                shutil.copyfile(self.file(number), target)
                target.chmod(PRIVATE_FILE)

    @contextmanager
    def claimed(self, first: int | str) -> Iterator[bool]:
        """Whether this process alone has what is named so; where nobody can lock, it is taken to."""
        lock = FileLock(self.path / f"{first:05d}.lock" if isinstance(first, int) else self.path / f"{first}.lock",
                        timeout=0, mode=PRIVATE_FILE, thread_local=False)  # fmt: skip
        mine = self.path.is_dir()  # else another process has just finished; a lock would make the folder again
        try:
            if mine:
                lock.acquire()
        except Timeout:
            mine = False
        except (OSError, NotImplementedError):  # no locks on this file system, or another process has just finished
            mine = self.path.is_dir()
        try:
            yield mine
        finally:
            with suppress(OSError):
                lock.release()

    @contextmanager
    def until_written(self) -> Iterator[KeptSlices]:
        """Itself; the folder goes when the ``with`` block ends well: the results are where they belong."""
        yield self
        self.remove()

    @contextmanager
    def writing(self) -> Iterator[None]:
        """No other process writes the results meanwhile; Unfinished: one does."""
        with self.claimed("results") as mine:
            if not mine:
                raise Unfinished("another process writes these results at the moment; give the command again later")
            yield

    def remove(self) -> None:
        """Take the folder away: the results are where they belong."""
        shutil.rmtree(self.path, ignore_errors=True)

    def file(self, number: int) -> Path:
        """Where a restoration lies."""
        return self.path / f"{number:05d}.safetensors"

    def _refusal(self, number: int) -> Path:
        return self.path / f"{number:05d}.json"

    @contextmanager
    def _told(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise OutputError(
                f"cannot keep a slice in {plain_text(self.path.parent)}: {reason_of(error)}; "
                f"{advice_of(error, 'choose an --out folder that can be written')}"
            ) from error


def _settle(file: Path) -> None:
    """Return when a file, and its name, are on the disk itself."""
    with file.open("rb+") as stream:
        os.fsync(stream.fileno())
    with suppress(OSError):  # not everywhere can a folder be opened
        folder = os.open(file.parent, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)
