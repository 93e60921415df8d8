"""``napari-brgm superres``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from napari_brgm.cli.options import (
    AUTO,
    DEFAULT_PRIOR,
    Device,
    Index,
    MethodName,
    MethodOption,
    Out,
    Overwrite,
    PlaneOption,
    PresetName,
    PriorName,
    Refine,
    Run,
    Samples,
    Seed,
    Series,
    Steps,
    Volume,
)
from napari_brgm.errors import InputError

__all__ = ["superres"]


def superres(
    scan: Annotated[Path, typer.Argument(metavar="SCAN", help="NIfTI file, DICOM file or folder of a DICOM series.")],
    out: Out,
    factor: Annotated[str, typer.Option(help="Finer by this much: 4, 2.5, or ROWS,COLUMNS such as 3,1.")] = "4",
    prior: PriorName = DEFAULT_PRIOR,
    method: MethodOption = MethodName.map,
    steps: Steps = None,
    samples: Samples = 32,
    seed: Seed = 0,
    device: Device = "auto",
    preset: PresetName = AUTO,
    refine: Refine = 0,
    plane: PlaneOption = None,
    index: Index = None,
    volume: Volume = None,
    series: Series = None,
    overwrite: Overwrite = False,
) -> None:
    """Give one slice of a scan finer pixels.

    The middle slice, or the one of --index. Writes the slice on its finer grid and its variance (2-D NIfTI in the right
    place), a record of how each came about (JSON), its posterior (safetensors) and a picture (PNG).
    """
    from napari_brgm.cli.notes import tell_notes
    from napari_brgm.cli.restored_slice import Job
    from napari_brgm.cli.scan_input import choose_plane, open_scan
    from napari_brgm.cli.super_resolution import superres_slice
    from napari_brgm.corruptions import Downsample

    run = Run.of(prior, method, steps, samples, seed, device, preset, refine)
    corruption = Downsample(_factor(factor))
    source = open_scan(scan, series, volume)
    loaded = run.load_prior()
    chosen = choose_plane(source, plane, loaded.info)
    number = source.count(chosen) // 2 if index is None else index
    job = Job(loaded, run, out, (scan,), volume, overwrite)
    done = superres_slice(source, chosen, number, corruption, job)
    tell_notes(done.slices)
    for file in done.files:
        typer.echo(file)


def _factor(text: str) -> tuple[float, float]:
    try:
        numbers = [float(part) for part in text.split(",")]
    except ValueError:
        numbers = []
    if len(numbers) not in (1, 2):
        raise InputError(f"--factor is one number such as 4, or two for rows and columns such as 3,1; got {text!r}")
    return numbers[0], numbers[-1]
