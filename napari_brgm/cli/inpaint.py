"""``napari-brgm inpaint``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from napari_brgm.cli.options import (
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
    Run,
    Samples,
    Seed,
    Series,
    Steps,
    Volume,
)

__all__ = ["inpaint"]


def inpaint(
    scan: Annotated[Path, typer.Argument(metavar="SCAN", help="NIfTI file, DICOM file or folder of a DICOM series.")],
    mask: Annotated[
        Path,
        typer.Option(
            help="What is missing: a NIfTI on the scan's grid, or a PNG / NPY of one slice.", show_default=False
        ),
    ],
    out: Out,
    prior: PriorName = DEFAULT_PRIOR,
    method: MethodOption = MethodName.map,
    steps: Steps = None,
    samples: Samples = 32,
    seed: Seed = 0,
    device: Device = "auto",
    preset: PresetName = "default",
    plane: PlaneOption = None,
    index: Index = None,
    volume: Volume = None,
    series: Series = None,
    overwrite: Overwrite = False,
) -> None:
    """Fill in the masked part of a scan, slice by slice.

    Every slice that the mask touches is restored, or the one of --index. Measured voxels stay as they are, bit for bit.
    Writes the restored volume and its variance (NIfTI), a record of how each came about (JSON), the posterior of each
    slice (safetensors) and a picture (PNG).
    """
    from napari_brgm.cli.inpainting import inpaint_scan
    from napari_brgm.cli.mask_input import read_mask
    from napari_brgm.cli.restored_slice import Job
    from napari_brgm.cli.scan_input import choose_plane, open_scan

    run = Run.of(prior, method, steps, samples, seed, device, preset)
    source = open_scan(scan, series, volume)
    loaded = run.load_prior()
    chosen = choose_plane(source, plane, loaded.info)
    missing = read_mask(mask, source, chosen, index)
    job = Job(loaded, run, out, (scan, mask), volume, overwrite)
    done = inpaint_scan(source, missing, chosen, job)
    for file in done.files:
        typer.echo(file)
