"""``napari-brgm clean``."""

from __future__ import annotations

from typing import Annotated

import typer

from napari_brgm.cli import options
from napari_brgm.errors import InputError

__all__ = ["clean"]


def clean(
    context: typer.Context,
    scan: options.ScanPath,
    out: options.Out,
    jpeg_quality: Annotated[
        int | None,
        typer.Option(help="Quality, 1 .. 100, of the lossy JPEG that the slice went through.", show_default=False),
    ] = None,
    noise_sigma: Annotated[
        float | None,
        typer.Option(help="Instead: standard deviation of plain noise, in the scan's units.", show_default=False),
    ] = None,
    prior: options.PriorName = options.DEFAULT_PRIOR,
    method: options.MethodOption = options.MethodName.map,
    steps: options.Steps = None,
    samples: options.SampleCount = 32,
    seed: options.Seed = 0,
    device: options.RunDevice = "auto",
    preset: options.PresetName = options.AUTO,
    features: options.FeaturesOption = options.FeaturesName.auto,
    plane: options.PlaneOption = None,
    index: options.SliceIndex = None,
    volume: options.Volume = None,
    series: options.SeriesNumber = None,
    pixel_mm: options.PixelSize = None,
    strip: options.Strip = False,
    save_video: options.SaveVideo = None,
    with_description: options.WithDescription = False,
    pseudonym: options.Pseudonym = None,
    resume: options.Resume = False,
    overwrite: options.Overwrite = False,
) -> None:
    """Restore a slice, or a picture, that lossy JPEG compression or noise spoilt.

    The middle slice, or the one of --index. Every pixel of the result is an estimate: none is kept as measured, and
    small findings may be gone or made up. After JPEG the variance is too small: on brain slices of quality 10 the 90 %
    intervals held 65 % of the pixels. Writes the slice and its variance (2-D NIfTI in the right place; of a picture PNG
    or TIFF, and TIFF), a record of how each came about (JSON), its posterior (safetensors) and a sheet (PNG); of a
    DICOM series DICOM objects too, as inpaint does.
    """
    from napari_brgm.cli.inputs import open_input, source_of
    from napari_brgm.cli.pseudonym import read_as
    from napari_brgm.cli.restoration import restore_source
    from napari_brgm.cli.source import one_of
    from napari_brgm.cli.strip import brain_of, check_strip
    from napari_brgm.cli.target import Target
    from napari_brgm.cli.treatment import Treatment
    from napari_brgm.corruptions import Identity, Jpeg

    how = options.InferenceOptions.of(prior, method, steps, samples, seed, device, preset, features=features)
    choice = options.SliceChoice.of(plane, index, volume, series, pixel_mm, with_description)
    target = Target.of(out, overwrite, save_video, resume=resume)
    if (jpeg_quality is None) == (noise_sigma is None):
        raise InputError("say what spoilt the slice: give either --jpeg-quality or --noise-sigma")
    if noise_sigma is not None and not 0 < noise_sigma < float("inf"):
        raise InputError(f"--noise-sigma must be above 0, in the scan's units; got {noise_sigma}")
    corruption = Identity() if jpeg_quality is None else Jpeg(jpeg_quality)
    check_strip(strip)
    (scan,) = context.with_resource(read_as(pseudonym, out, scan, with_description))
    found = open_input(scan, choice)
    loaded = how.load_prior()
    source = source_of(found, scan, choice, loaded.info)
    what = Treatment(
        "brgmClean", "noise removed" if jpeg_quality is None else f"JPEG artefacts removed (quality {jpeg_quality})",
        {one_of(source): lambda: corruption}, noise_sigma=noise_sigma, given="as given",
        notice=f"every pixel{' of the brain' if strip else ''} is an estimate, none is kept as measured; synthetic, "
        "not for diagnosis",
        brain=brain_of(source, loaded.info) if strip else None,
    )  # fmt: skip
    restore_source(source, what, how, loaded, target, (scan,)).tell()
