"""``napari-brgm superres``."""

from __future__ import annotations

from typing import Annotated

import typer

from napari_brgm.cli import options
from napari_brgm.errors import InputError

__all__ = ["superres"]


def superres(
    context: typer.Context,
    scan: options.ScanPath,
    out: options.Out,
    factor: Annotated[
        str | None,
        typer.Option(
            help="Finer by this much in the plane: 4, 2.5, or ROWS,COLUMNS such as 3,1.",
            show_default="4; with --slices 1",
        ),
    ] = None,
    slices: Annotated[
        float | None,
        typer.Option(
            help="Thinner slices too, of the whole scan: so many (3, 2.5) of each thick one, with what its neighbours "
            "measured.",
            show_default=False,
        ),
    ] = None,
    thickness: Annotated[
        float | None,
        typer.Option(
            help="With --slices: how thick the slices are, mm; default: as a DICOM file says, else without gaps.",
            show_default=False,
        ),
    ] = None,
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
    save_video: options.SaveVideo = None,
    with_description: options.WithDescription = False,
    pseudonym: options.Pseudonym = None,
    resume: options.Resume = False,
    overwrite: options.Overwrite = False,
) -> None:
    """Give one slice of a scan, or a picture, finer pixels; or make the slices of a scan thinner.

    The middle slice, or the one of --index. Writes the slice on its finer grid and its variance (2-D NIfTI in the right
    place; of a picture PNG or TIFF, and TIFF), a record of how each came about (JSON), its posterior (safetensors) and
    a sheet (PNG).

    With --slices the whole scan is restored, its slices together, and written as volumes on the finer grid: image,
    variance and samples (NIfTI; the last has four axes), each with its record, and the rest of the posterior. Of a
    DICOM series there are DICOM objects too, as inpaint writes them; they lie on the finer grid.
    """
    from napari_brgm.cli.inputs import open_input, source_of
    from napari_brgm.cli.pseudonym import read_as
    from napari_brgm.cli.restoration import restore_source
    from napari_brgm.cli.source import one_of
    from napari_brgm.cli.strip import brain_of, check_strip
    from napari_brgm.cli.target import Target
    from napari_brgm.cli.thin import check_prior, restore_thin, thin_slices
    from napari_brgm.cli.treatment import Treatment
    from napari_brgm.corruptions import Downsample

    how = options.InferenceOptions.of(prior, method, steps, samples, seed, device, preset, refine, features, finish)
    choice = options.SliceChoice.of(plane, index, volume, series, pixel_mm, with_description)
    target = Target.of(out, overwrite, save_video, resume=resume)
    factor = factor or ("4" if slices is None else "1")
    finer = options.pair(factor, "--factor", "4, or two for rows and columns such as 3,1")
    corruption = None if slices is not None and finer == (1, 1) else Downsample(finer)
    if slices is None and thickness is not None:
        raise InputError("--thickness is about --slices; leave it out")
    for option, given in (("index", index), ("save-video", save_video)):
        if slices is not None and given is not None:
            raise InputError(f"--{option} is about slices one by one, and --slices restores all together; leave it out")
    check_strip(strip)
    (scan,) = context.with_resource(read_as(pseudonym, out, scan, with_description))
    found = open_input(scan, choice)
    loaded = how.load_prior()
    if slices is not None:
        check_prior(how, loaded)
    source = source_of(found, scan, choice, loaded.info)
    if slices is not None:
        thick, thin = thin_slices(source, loaded.info, slices, thickness)
        brain = brain_of(source, loaded.info) if strip else None
        restore_thin(thick, thin, corruption, brain, how, loaded, target, scan).tell()
        return
    assert corruption is not None
    what = Treatment(
        "brgmSuperres", "super-resolved", {one_of(source): lambda: corruption},
        factor=(float(corruption.factor[0]), float(corruption.factor[1])),
        brain=brain_of(source, loaded.info) if strip else None,
    )  # fmt: skip
    restore_source(source, what, how, loaded, target, (scan,)).tell()
