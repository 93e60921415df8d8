"""Result files: BIDS-like names, nothing overwritten unasked, and all of them or none.

Files, or whole folders, are written into a hidden folder beside their places and moved when all are complete.
"""

from __future__ import annotations

import json
import re
import shutil
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar, Self
from uuid import uuid4

from napari_brgm.errors import OutputError
from napari_brgm.scans.record import sidecar_of, version

if TYPE_CHECKING:
    from collections.abc import Iterable
    from types import TracebackType

    from napari_brgm.scan import Scan

__all__ = ["Outputs", "derivative_name", "json_name", "stem_of"]

_BIDS = re.compile(r"(sub-[A-Za-z0-9]+(?:_[a-z]+-[A-Za-z0-9]+)*)_([A-Za-z0-9]+)")
_DESCRIPTION = "dataset_description.json"


def stem_of(scan: Scan, path: Path) -> str:
    """Name of a scan's file without its suffix; a folder has that of its series."""
    if path.is_file():
        return re.sub(r"(\.nii)?(\.gz)?$|\.dcm$", "", path.name, flags=re.IGNORECASE) or "scan"
    return re.sub(r"[^A-Za-z0-9-]+", "-", scan.name).strip("-") or "scan"


def derivative_name(stem: str, description: str, extension: str) -> str:
    """Name of a derivative, the BIDS suffix of the source last.

    Examples
    --------
    >>> derivative_name("sub-01_T1w", "brgmInpaint", ".nii.gz")
    'sub-01_desc-brgmInpaint_T1w.nii.gz'
    >>> derivative_name("knee", "brgmInpaint", ".png")
    'knee_desc-brgmInpaint_image.png'
    """
    bids = _BIDS.fullmatch(stem)
    entities, suffix = bids.groups() if bids else (stem, "image")
    entities = re.sub(r"_desc-[A-Za-z0-9]+", "", entities)
    return f"{entities}_desc-{description}_{suffix}{extension}"


def json_name(name: str) -> str:
    """Name of the record beside a NIfTI file or a picture."""
    return sidecar_of(Path(name)).name


class Outputs:
    """Write files into ``folder``: all appear when the ``with`` block ends well, and none when it does not.

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
        On entering: a file exists already, or the folder cannot be written to.
    """

    choose: ClassVar[str] = "choose another name or folder"  # what to do where a file exists ...
    allow: ClassVar[str] = "allow overwriting"  # ... or else
    writable: ClassVar[str] = "choose a folder that can be written"

    def __init__(self, folder: Path, names: Iterable[str], overwrite: bool, *, describe: bool = True) -> None:
        self.folder, self.names, self.overwrite, self.describe = folder, tuple(names), overwrite, describe
        self._made: list[Path] = []
        self._gone: list[str] = []
        self._staging = folder / f".brgm-{uuid4().hex[:12]}"

    def __enter__(self) -> Self:
        existing = [name for name in self.names if (self.folder / name).exists()]
        if existing and not self.overwrite:
            raise OutputError(f"{existing[0]} exists already in {self.folder}; {self.choose} or {self.allow}")
        missing = [path for path in (self.folder, *self.folder.parents) if not path.exists()]
        try:
            for path in reversed(missing):
                path.mkdir()
                self._made.append(path)
            self._staging.mkdir()
        except OSError as error:
            self._clean()
            raise self._failed(error) from error
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            if kind is None:
                for name in self.names:
                    place = self.folder / name
                    if place.is_dir():  # a folder cannot be replaced: the old one goes with the hidden one
                        place.replace(self._staging / uuid4().hex)
                    self.path(name).replace(place)
                for name in self._gone:  # of an earlier run: it would pass for one of this
                    with suppress(FileNotFoundError):
                        (self.folder / name).replace(self._staging / uuid4().hex)
                if self.names and self.describe:
                    self._describe()
            elif isinstance(error, OSError):
                raise self._failed(error) from error
        except OSError as failure:
            raise self._failed(failure) from failure
        finally:
            self._clean()

    def path(self, name: str) -> Path:
        """Where to write the file of this name."""
        assert name in self.names, name
        return self._staging / name

    def leave_out(self, name: str) -> None:
        """Do without the file of this name."""
        self.names = tuple(other for other in self.names if other != name)

    def do_without(self, name: str) -> None:
        """Leave the file of this name out, and take away one that an earlier run wrote."""
        self.leave_out(name)
        self._gone.append(name)

    def _describe(self) -> None:
        """Add the dataset description that BIDS asks of a folder of derivatives, if there is none."""
        path = self.folder / _DESCRIPTION
        if not path.exists():
            text = {
                "Name": "napari-brgm restorations",
                "BIDSVersion": "1.9.0",
                "DatasetType": "derivative",
                "GeneratedBy": [{"Name": "napari-brgm", "Version": version()}],
            }
            path.write_text(json.dumps(text, indent=2) + "\n")

    def _clean(self) -> None:
        shutil.rmtree(self._staging, ignore_errors=True)
        for path in reversed(self._made):
            with suppress(OSError):  # not empty: it is wanted
                path.rmdir()

    def _failed(self, error: OSError) -> OutputError:
        reason = error.strerror or str(error)
        return OutputError(f"cannot write into {self.folder}: {reason}; {self.writable}")
