"""``napari-brgm inpaint``."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Annotated

import typer

from napari_brgm.cli import options
from napari_brgm.errors import InputError

__all__ = ["inpaint"]


def inpaint(
    scan: options.ScanPath,
    out: options.Out,
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
    prior: options.PriorName = options.DEFAULT_PRIOR,
    method: options.MethodOption = options.MethodName.map,
    steps: options.Steps = None,
    samples: options.Samples = 32,
    seed: options.Seed = 0,
    device: options.Device = "auto",
    preset: options.PresetName = options.AUTO,
    refine: options.Refine = 0,
    plane: options.PlaneOption = None,
    index: options.SliceIndex = None,
    volume: options.Volume = None,
    series: options.SeriesNumber = None,
    overwrite: options.Overwrite = False,
) -> None:
    """Fill in the masked part of a scan, slice by slice.

    Every slice that the mask touches is restored, or the one of --index. With --missing-share there is no mask: good
    pixels of the middle slice, or of that of --index, are hidden at random (by --seed) and restored from the rest: this
    shows what a prior can do and mends nothing. Measured voxels stay as they are, bit for bit; a slice that cannot be
    restored is told and left as it is.
    Writes the restored volume and its variance (NIfTI), a record of how each came about (JSON), the posterior of each
    slice (safetensors) and a picture (PNG).
    """
    from napari_brgm.cli.inputs import choose_plane, open_scan, read_mask
    from napari_brgm.cli.restoration import Treatment, restore_scan
    from napari_brgm.corruptions import Mask

    if (mask is None) == (missing_share is None):
        raise InputError("say what is missing: give either --mask, or --missing-share to try a prior out")
    how = options.InferenceOptions.of(prior, method, steps, samples, seed, device, preset, refine)
    source = open_scan(scan, series, volume)
    loaded = how.load_prior()
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
    what = Treatment(
        "brgmInpaint", "in-painted", {i: partial(Mask, flags) for i, flags in missing.items()}, missing, remark=remark
    )
    sources = (scan,) if mask is None else (scan, mask)
    restore_scan(source, chosen, what, how, loaded, out, sources, volume=volume, overwrite=overwrite).tell()
