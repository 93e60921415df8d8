"""Which volumes lie at a path, and whose they are: NIfTI files, and one folder of DICOM files for each subject."""

from __future__ import annotations

from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path, PurePosixPath

from napari_brgm.datasets.image_archive import natural_order, subject_depth
from napari_brgm.datasets.image_file import SUFFIXES
from napari_brgm.errors import InputError

__all__ = ["VolumeFile", "volume_files"]

_NIFTI = (".nii", ".nii.gz", ".hdr")
_NO_SCAN = (".img", ".json", ".txt", ".md", ".csv", ".tsv", ".bval", ".bvec", ".pdf", ".html", ".xml")


@dataclass(frozen=True, slots=True)
class VolumeFile:
    """What ``read_scan`` is given.

    Attributes
    ----------
    path : Path
        NIfTI file, or folder of DICOM files.
    name : str
        Below the root, with forward slashes.
    subject : str or None
        None where only the DICOM headers can tell.
    """

    path: Path
    name: str
    subject: str | None


def volume_files(source: Path, *, beside_images: bool = False) -> list[VolumeFile]:
    """List the volumes below a folder, or the one that a file is.

    The subject is the first folder below the root, else the name of the NIfTI file. DICOM files that lie in the root
    itself are read together, and told apart by their headers.

    Parameters
    ----------
    source : Path
    beside_images : bool
        Know DICOM by its magic alone, which needs no pydicom, and pass over image files.

    Raises
    ------
    InputError
        A package that reads volumes is not installed.
    """
    for package in () if beside_images else ("nibabel", "pydicom"):
        if find_spec(package) is None:
            raise InputError(f"volumes need the package {package}; install it, or give the slices as images")
    if source.is_file():
        return [VolumeFile(source, source.name, _stem(source.name))]
    files = sorted((f.relative_to(source).as_posix() for f in source.rglob("*") if f.is_file()), key=natural_order)
    files = [name for name in files if not any(part.startswith((".", "__MACOSX")) for part in name.split("/"))]
    is_dicom = _has_magic if beside_images else _is_dicom
    nifti = [name for name in files if name.lower().endswith(_NIFTI)]
    series = [name for name in files if name not in set(nifti) and is_dicom(source / name)]
    depth = subject_depth((*nifti, *series))
    found = []
    for name in nifti:
        parts = PurePosixPath(name).parts
        found.append(VolumeFile(source / name, name, parts[depth] if len(parts) > depth + 1 else _stem(parts[-1])))
    folders = dict.fromkeys(PurePosixPath(name).parts[: depth + 1] for name in series if name.count("/") > depth)
    if any(name.count("/") <= depth for name in series):  # read_scan takes whole folders
        return [*found, VolumeFile(source, source.name, None)]
    return found + [VolumeFile(source.joinpath(*parts), "/".join(parts), parts[-1]) for parts in folders]


def _stem(name: str) -> str:
    return name.removesuffix(".gz").rsplit(".", 1)[0]


def _has_magic(path: Path) -> bool:
    if path.suffix.lower().removeprefix(".") in SUFFIXES:
        return False
    try:
        with path.open("rb") as stream:
            return stream.read(132)[128:] == b"DICM"
    except OSError:
        return False


def _is_dicom(path: Path) -> bool:
    from napari_brgm.scans.dicom_file import looks_like_dicom, opening

    return path.name != "DICOMDIR" and path.suffix.lower() not in _NO_SCAN and looks_like_dicom(opening(path))
