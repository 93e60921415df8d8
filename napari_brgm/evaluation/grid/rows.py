"""Rows: what was measured of one method on one task and image, and the CSV file of them all."""

from __future__ import annotations

import csv
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Any

from napari_brgm.errors import InputError
from napari_brgm.whole_file import whole_file

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from pathlib import Path

__all__ = ["ROWS_FILE", "Row", "RowKey", "joined", "read_rows", "write_rows"]

ROWS_FILE = "rows.csv"
RowKey = tuple[str, str, str, str]


@dataclass(frozen=True, slots=True)
class Row:
    """One image that one method made of one observation. Grey levels are 0..255; None: not measured.

    Attributes
    ----------
    set, task, method, title, family, image : str
        'brain-128', 'mask-3', 'ours-sample', its title, a key of ``FAMILIES``, the image's name in the set.
    subject : int
        Whose image it is, a number within the set.
    rmse, mae : float
        Grey levels, inside the hole; else over the whole image.
    psnr, ssim, ms_ssim, gmsd : float
        Of the whole image: dB, similarity, 1 - MS-SSIM, GMSD (metrics.py).
    efficientnet, lpips : float or None
        Perceptual distances of the whole image; None where the features are not on this machine.
    energy, true_energy : float
        Sums of squared Laplacians where the error is measured, of the estimate and of the truth.
    brats_ssim, brats_mse, brats_psnr : float or None
        Inside the hole, scaled by the truth's 0.5 and 99.5 percentiles (the BraTS in-painting challenge).
    std, crps : float or None
        Mean standard deviation and mean CRPS (Gaussian) where the error is measured, grey levels.
    held_50, held_80, held_90, held_95 : float or None
        Shares of those pixels that lie within the intervals of these levels.
    seconds, busy : float
        By the clock, and of the processor, of one restoration (all its images together).
    megabytes : float or None
        Peak of the resident memory over what there was before; None where the system does not tell.
    seed : int
    version, commit, torch, device, fingerprint : str
        Of this package, its source ('' outside a checkout), torch, the device; digest of what the method depends on.
    """

    set: str
    task: str
    method: str
    title: str
    family: str
    image: str
    subject: int
    rmse: float
    mae: float
    psnr: float
    ssim: float
    ms_ssim: float
    gmsd: float
    efficientnet: float | None
    lpips: float | None
    energy: float
    true_energy: float
    brats_ssim: float | None
    brats_mse: float | None
    brats_psnr: float | None
    std: float | None
    crps: float | None
    held_50: float | None
    held_80: float | None
    held_90: float | None
    held_95: float | None
    seconds: float
    busy: float
    megabytes: float | None
    seed: int
    version: str
    commit: str
    torch: str
    device: str
    fingerprint: str

    @property
    def key(self) -> RowKey:
        return self.set, self.task, self.method, self.image


_KINDS = {one.name: str(one.type) for one in fields(Row)}


def joined(old: Iterable[Row], new: Iterable[Row]) -> list[Row]:
    """Old rows, those measured again replaced, and what is new behind them."""
    found = {row.key: row for row in old}
    found.update((row.key, row) for row in new)
    return list(found.values())


def write_rows(path: Path, rows: Sequence[Row]) -> None:
    """Write the CSV file, whole or not at all; six digits of every figure."""
    with whole_file(path) as draft, draft.open("w", newline="", encoding="utf-8") as stream:
        writer = csv.writer(stream, lineterminator="\n")
        writer.writerow(_KINDS)
        writer.writerows([_text(getattr(row, name)) for name in _KINDS] for row in rows)


def read_rows(path: Path) -> list[Row]:
    """Read the CSV file; nothing where there is none.

    Raises
    ------
    InputError
        It is a folder, has other columns, or a value that does not belong there.
    """
    if path.is_dir():
        raise InputError(f"{path} is a folder, where the rows are to be; choose another folder with --out")
    if not path.is_file():
        return []
    found: list[Row] = []
    with path.open(newline="", encoding="utf-8") as stream:
        try:
            reader = csv.DictReader(stream)
            if tuple(reader.fieldnames or ()) != tuple(_KINDS):
                raise InputError(
                    f"{path} has other columns than this version writes; move it away (cells are kept) or choose "
                    "another folder with --out"
                )
            for line in reader:
                found.append(Row(**{name: _value(line[name], kind) for name, kind in _KINDS.items()}))
        except InputError:
            raise
        except (TypeError, ValueError, csv.Error) as error:
            raise InputError(
                f"{path} is damaged behind line {len(found) + 1}; move it away and run the command again, what is done "
                "is kept beside it"
            ) from error
    return found


def _text(value: Any) -> str:
    return "" if value is None else f"{value:.6g}" if isinstance(value, float) else str(value)


def _value(text: str, kind: str) -> Any:
    if kind == "str":
        return text
    if kind == "int":
        return int(text)
    return None if text == "" and "None" in kind else float(text)
