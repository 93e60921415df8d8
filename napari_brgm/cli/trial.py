"""``napari-brgm try``: a clean scan or picture corrupted on purpose, restored, and compared with what it was."""

from __future__ import annotations

import re
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from napari_brgm.cli import options
from napari_brgm.cli.terminal import say_note
from napari_brgm.errors import InputError

if TYPE_CHECKING:
    import numpy.typing as npt

    from napari_brgm.cli.masks import MaskRules
    from napari_brgm.cli.source import Source
    from napari_brgm.cli.treatment import Treatment
    from napari_brgm.corruptions import Downsample

__all__ = ["trial"]

_FACTOR = re.compile(r"[x×](.+)", re.IGNORECASE)
_NOTICE = "a trial: the slice was clean and corrupted on purpose; synthetic where restored, not for diagnosis"


def trial(
    scan: options.ScanPath,
    out: options.Out,
    corrupt: Annotated[
        str,
        typer.Option(
            help="What is done to it: the file of a mask, whose pixels are hidden; or x8, x2.5, x3,1 (rows, columns): "
            "coarser pixels by so much.",
            show_default=False,
        ),
    ],
    invert_mask: options.InvertMask = False,
    yes: options.Sure = False,
    prior: options.PriorName = options.DEFAULT_PRIOR,
    method: options.MethodOption = options.MethodName.map,
    steps: options.Steps = None,
    samples: options.SampleCount = 32,
    seed: options.Seed = 0,
    device: options.Device = "auto",
    preset: options.PresetName = options.AUTO,
    features: options.FeaturesOption = options.FeaturesName.auto,
    refine: options.Refine = 0,
    finish: options.FinishOption = True,
    plane: options.PlaneOption = None,
    index: options.SliceIndex = None,
    volume: options.Volume = None,
    series: options.SeriesNumber = None,
    pixel_mm: options.PixelSize = None,
    save_video: options.SaveVideo = None,
    with_description: options.WithDescription = False,
    overwrite: options.Overwrite = False,
) -> None:
    """Try a prior out: corrupt a clean slice or picture, restore it, and measure the error.

    Of a scan the middle slice, or the one of --index; with a mask on its grid, every slice that the mask touches. What
    is hidden is taken out before anything is restored. The error is told in the scan's units, over the slice and in
    hidden pixels. Writes what inpaint or superres write, all of it marked as a trial, with the error in the record.
    """
    from napari_brgm.cli.inputs import open_input, source_of
    from napari_brgm.cli.masks import MaskRules
    from napari_brgm.cli.restoration import restore_source
    from napari_brgm.cli.target import Target

    how = options.InferenceOptions.of(prior, method, steps, samples, seed, device, preset, refine, features, finish)
    choice = options.SliceChoice.of(plane, index, volume, series, pixel_mm, with_description)
    target = Target.of(out, overwrite, save_video)
    mask = Path(corrupt)
    coarser = None if mask.exists() else _factor(corrupt)
    if coarser is not None and (invert_mask or yes):
        raise InputError(f"{'--invert-mask' if invert_mask else '--yes'} is about a mask; leave it out of {corrupt}")
    found = open_input(scan, choice)
    loaded = how.load_prior()
    source = source_of(found, scan, choice, loaded.info)
    what = _coarsened(source, coarser) if coarser else _hidden(source, mask, MaskRules(invert_mask, yes))
    restore_source(source, what, how, loaded, target, (scan, mask) if coarser is None else (scan,)).tell()


def _factor(text: str) -> Downsample:
    from napari_brgm.corruptions import Downsample

    found = _FACTOR.fullmatch(text)
    if found is None or not found[1][0].isdigit():
        raise InputError(f"--corrupt is the file of a mask, or a factor such as x8; there is no file {text}")
    return Downsample(options.pair(found[1], "--corrupt", "x8, or two for rows and columns such as x3,1"))


def _hidden(source: Source, path: Path, rules: MaskRules) -> Treatment:
    """In-painting of what a mask hides."""
    from napari_brgm.cli.masks import told_shares
    from napari_brgm.cli.treatment import Treatment
    from napari_brgm.corruptions import Mask

    masks = source.masks(path, rules)
    told_shares(masks.missing, lambda number: source.piece(number).title)
    truth = {i: source.piece(i).image for i in masks.missing}
    holed = {i: image.copy() for i, image in truth.items()}
    for i, flags in masks.missing.items():
        holed[i][flags] = 0  # nothing of it can leak
    return Treatment(
        "brgmTrialInpaint", "in-painted", {i: partial(Mask, flags) for i, flags in masks.missing.items()},
        masks.missing, truth=truth, observed=holed, trial=True, mask=masks.read, notice=_NOTICE,
    )  # fmt: skip


def _coarsened(source: Source, corruption: Downsample) -> Treatment:
    """Super-resolution of the slice in coarser pixels."""
    from napari_brgm.cli.source import one_of
    from napari_brgm.cli.treatment import Treatment

    piece = source.piece(one_of(source))
    height, width = piece.image.shape[:2]
    rows, columns = (float(factor) for factor in corruption.factor)
    low = int(height // rows), int(width // columns)
    if min(low) < 1:
        raise InputError(f"{piece.title} has {height} x {width} pixels, too few to make them so much coarser")
    fine = corruption.image_shape(low)
    if fine != (height, width):
        say_note(f"{piece.title} is cut from {height} x {width} to {fine[0]} x {fine[1]} pixels, whole coarse ones")
    truth = piece.image[: fine[0], : fine[1]]
    return Treatment(
        "brgmTrialSuperres", "super-resolved", {piece.index: lambda: corruption}, factor=(rows, columns),
        truth={piece.index: truth}, observed={piece.index: _coarse(truth, corruption)}, trial=True, notice=_NOTICE,
    )  # fmt: skip


def _coarse(image: npt.NDArray[Any], corruption: Downsample) -> npt.NDArray[Any]:
    import numpy as np
    import torch

    planes = image[None] if image.ndim == 2 else np.moveaxis(image, -1, 0)
    low = corruption.A(torch.from_numpy(planes.astype(np.float64))[None])[0].numpy()  # (C, h, w)
    return np.asarray(low[0] if image.ndim == 2 else np.moveaxis(low, 0, -1), np.float32)
