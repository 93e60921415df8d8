"""``napari-brgm inpaint``."""

from __future__ import annotations

import math
from functools import partial
from pathlib import Path
from typing import Annotated

import typer

from napari_brgm.cli import options
from napari_brgm.errors import InputError

__all__ = ["inpaint"]


def inpaint(
    context: typer.Context,
    scan: options.ScanPath,
    out: options.Out,
    mask: Annotated[
        Path | None,
        typer.Option(
            help="What is missing: a NIfTI on the scan's grid, or a picture / NPY of one slice. 0: measured.",
            show_default=False,
        ),
    ] = None,
    missing_share: Annotated[
        float | None,
        typer.Option(
            help="Instead of --mask, to try a prior out: hide this share of the slice's pixels at random (0.95, say).",
            show_default=False,
        ),
    ] = None,
    second: Annotated[
        Path | None,
        typer.Option(
            help="Another scan of the same patient, registered to the first: what it saw of the holes counts, with "
            "noise of as much as the two differ near them.",
            show_default=False,
        ),
    ] = None,
    roi: Annotated[
        Path | None,
        typer.Option(
            help="Regions on the scan's grid (NIfTI of labels): their means, with intervals, as a table (CSV).",
            show_default=False,
        ),
    ] = None,
    above: Annotated[
        float | None,
        typer.Option(help="With --roi: their volume above this, too, in the scan's units.", show_default=False),
    ] = None,
    invert_mask: options.InvertMask = False,
    yes: options.Sure = False,
    prior: options.PriorName = options.DEFAULT_PRIOR,
    method: options.MethodOption = options.MethodName.map,
    steps: options.Steps = None,
    samples: options.SampleCount = 32,
    seed: options.Seed = 0,
    device: options.RunDevice = "auto",
    preset: options.PresetName = options.AUTO,
    features: options.FeaturesOption = options.FeaturesName.auto,
    refine: options.Refine = 0,
    finish: options.FinishOption = True,
    plane: options.PlaneOption = None,
    index: options.SliceIndex = None,
    volume: options.Volume = None,
    series: options.SeriesNumber = None,
    pixel_mm: options.PixelSize = None,
    strip: options.Strip = False,
    alone: options.Alone = False,
    save_video: options.SaveVideo = None,
    with_description: options.WithDescription = False,
    pseudonym: options.Pseudonym = None,
    resume: options.Resume = False,
    overwrite: options.Overwrite = False,
) -> None:
    """Fill in the masked part of a scan, slice by slice, or of a picture.

    Every slice that the mask touches is restored, or the one of --index, together with what its neighbours measured
    where the prior knows how slices belong together (--alone: each by itself).

    With --missing-share there is no mask: good
    pixels of the middle slice, or of that of --index, are hidden at random (by --seed) and restored from the rest: this
    shows what a prior can do and mends nothing. Measured voxels stay as they are, bit for bit; a slice that cannot be
    restored is told and left as it is.
    Writes the restored volume and its variance (NIfTI; of a picture PNG or TIFF, and TIFF), a record of how each came
    about (JSON), the posterior of each slice (safetensors) and a sheet (PNG). Of a DICOM series there is a folder of
    DICOM objects too: the restored series, its standard deviation as a parametric map, and what is synthetic as a
    segmentation.
    """
    from napari_brgm.cli.inputs import open_input, source_of
    from napari_brgm.cli.masks import MaskRules, SliceMasks, told_shares
    from napari_brgm.cli.pseudonym import read_as
    from napari_brgm.cli.restoration import restore_source
    from napari_brgm.cli.source import one_of
    from napari_brgm.cli.strip import brain_of, check_strip
    from napari_brgm.cli.target import Target
    from napari_brgm.cli.treatment import SYNTHETIC_WHERE_RESTORED, Treatment
    from napari_brgm.corruptions import Mask

    if (mask is None) == (missing_share is None):
        raise InputError("say what is missing: give either --mask, or --missing-share to try a prior out")
    if mask is None and (invert_mask or yes):
        raise InputError(f"{'--invert-mask' if invert_mask else '--yes'} is about the --mask; leave it out")
    if above is not None and roi is None:
        raise InputError("--above is about the regions of --roi; leave it out, or give these")
    if above is not None and not math.isfinite(above):
        raise InputError(f"--above is a threshold in the scan's units; got {above}")
    if roi is not None and samples < 2:
        raise InputError("regions have intervals from samples; choose --samples 2 or more, or leave out --roi")
    how = options.InferenceOptions.of(prior, method, steps, samples, seed, device, preset, refine, features, finish)
    choice = options.SliceChoice.of(plane, index, volume, series, pixel_mm, with_description)
    target = Target.of(out, overwrite, save_video, resume=resume)
    check_strip(strip)
    scan, mask, second, roi = context.with_resource(
        read_as(pseudonym, out, scan, with_description, mask=mask, second=second, regions=roi)
    )
    found = open_input(scan, choice)
    loaded = how.load_prior()
    source = source_of(found, scan, choice, loaded.info)
    if mask is not None:
        masks, notice, truth = source.masks(mask, MaskRules(invert_mask, yes)), SYNTHETIC_WHERE_RESTORED, {}
    else:
        assert missing_share is not None
        piece = source.piece(one_of(source))
        height, width = piece.image.shape[:2]
        masks = SliceMasks({piece.index: Mask.random((height, width), missing_share, seed).missing.numpy()})
        notice = f"a trial: the pixels were measured, and hidden at random; {SYNTHETIC_WHERE_RESTORED}"
        truth = {piece.index: piece.image}
    told_shares(masks.missing, lambda number: source.piece(number).title)
    what = Treatment(
        "brgmInpaint", "in-painted", {i: partial(Mask, flags) for i, flags in masks.missing.items()}, masks.missing,
        truth=truth, trial=bool(truth), mask=masks.read, notice=notice,
        brain=brain_of(source, loaded.info, masks.missing) if strip else None,
        alone=alone or bool(truth), spoilt=masks.elsewhere,
    )  # fmt: skip
    if second is not None:
        from napari_brgm.cli.second import with_second  # splines of scipy, which nobody else waits for

        what = with_second(what, source, second)
    regions = None
    if roi is not None:
        from napari_brgm.cli.regions import RegionTable  # scipy.stats takes a second to load

        regions = RegionTable.of(source, roi, above)
    read = [path for path in (scan, mask, second, roi) if path is not None]
    restore_source(source, what, how, loaded, target, read, regions).tell()
