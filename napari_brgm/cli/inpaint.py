"""``napari-brgm inpaint``."""

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

__all__ = ["inpaint"]


def inpaint(
    scan: Annotated[Path, typer.Argument(metavar="SCAN", help="NIfTI file, DICOM file or folder of a DICOM series.")],
    out: Out,
    mask: Annotated[
        Path | None,
        typer.Option(
            help="What is missing: a NIfTI on the scan's grid, or a PNG / NPY of one slice.", show_default=False
        ),
    ] = None,
    missing_share: Annotated[
        float | None,
        typer.Option(
            help="Instead of --mask, to try a prior out: hide this share of the slice's pixels at random (0.95, say).",
            show_default=False,
        ),
    ] = None,
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
    """Fill in the masked part of a scan, slice by slice.

    Every slice that the mask touches is restored, or the one of --index. With --missing-share there is no mask: good
    pixels of the middle slice, or of that of --index, are hidden at random (by --seed) and restored from the rest: this
    shows what a prior can do and mends nothing. Measured voxels stay as they are, bit for bit.
    Writes the restored volume and its variance (NIfTI), a record of how each came about (JSON), the posterior of each
    slice (safetensors) and a picture (PNG).
    """
    from napari_brgm.cli.inpainting import inpaint_scan
    from napari_brgm.cli.mask_input import read_mask
    from napari_brgm.cli.notes import tell_notes
    from napari_brgm.cli.restored_slice import Job
    from napari_brgm.cli.scan_input import choose_plane, open_scan
    from napari_brgm.corruptions import Mask

    if (mask is None) == (missing_share is None):
        raise InputError("say what is missing: give either --mask, or --missing-share to try a prior out")
    run = Run.of(prior, method, steps, samples, seed, device, preset, refine)
    source = open_scan(scan, series, volume)
    loaded = run.load_prior()
    chosen = choose_plane(source, plane, loaded.info)
    remark = ""
    if mask is not None:
        missing = read_mask(mask, source, chosen, index)
    else:
        assert missing_share is not None
        number = source.count(chosen) // 2 if index is None else index
        shape = source.slice(chosen, number).image.shape
        missing = {number: Mask.random((shape[0], shape[1]), missing_share, seed).missing.numpy()}
        remark = "; a trial: the pixels were measured, and hidden at random"
    job = Job(loaded, run, out, (scan,) if mask is None else (scan, mask), volume, overwrite)
    done = inpaint_scan(source, missing, chosen, job, remark=remark)
    tell_notes(done.slices)
    for file in done.files:
        typer.echo(file)
