"""``napari-brgm superres``."""

from __future__ import annotations

from typing import Annotated

import typer

from napari_brgm.cli import options

__all__ = ["superres"]


def superres(
    scan: options.ScanPath,
    out: options.Out,
    factor: Annotated[str, typer.Option(help="Finer by this much: 4, 2.5, or ROWS,COLUMNS such as 3,1.")] = "4",
    prior: options.PriorName = options.DEFAULT_PRIOR,
    method: options.MethodOption = options.MethodName.map,
    steps: options.Steps = None,
    samples: options.SampleCount = 32,
    seed: options.Seed = 0,
    device: options.Device = "auto",
    preset: options.PresetName = options.AUTO,
    features: options.FeaturesOption = options.FeaturesName.auto,
    refine: options.Refine = 0,
    plane: options.PlaneOption = None,
    index: options.SliceIndex = None,
    volume: options.Volume = None,
    series: options.SeriesNumber = None,
    pixel_mm: options.PixelSize = None,
    strip: options.Strip = False,
    save_video: options.SaveVideo = None,
    with_description: options.WithDescription = False,
    overwrite: options.Overwrite = False,
) -> None:
    """Give one slice of a scan, or a picture, finer pixels.

    The middle slice, or the one of --index. Writes the slice on its finer grid and its variance (2-D NIfTI in the right
    place; of a picture PNG or TIFF, and TIFF), a record of how each came about (JSON), its posterior (safetensors) and
    a sheet (PNG).
    """
    from napari_brgm.cli.inputs import open_input, source_of
    from napari_brgm.cli.restoration import restore_source
    from napari_brgm.cli.source import one_of
    from napari_brgm.cli.strip import brain_of, check_strip
    from napari_brgm.cli.target import Target
    from napari_brgm.cli.treatment import Treatment
    from napari_brgm.corruptions import Downsample

    how = options.InferenceOptions.of(prior, method, steps, samples, seed, device, preset, refine, features)
    choice = options.SliceChoice.of(plane, index, volume, series, pixel_mm, with_description)
    target = Target.of(out, overwrite, save_video)
    corruption = Downsample(options.pair(factor, "--factor", "4, or two for rows and columns such as 3,1"))
    check_strip(strip)
    found = open_input(scan, choice)
    loaded = how.load_prior()
    source = source_of(found, scan, choice, loaded.info)
    finer = float(corruption.factor[0]), float(corruption.factor[1])
    what = Treatment(
        "brgmSuperres", "super-resolved", {one_of(source): lambda: corruption}, factor=finer,
        brain=brain_of(source, loaded.info) if strip else None,
    )  # fmt: skip
    restore_source(source, what, how, loaded, target, (scan,)).tell()
