"""``napari-brgm clean``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

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
    Run,
    Samples,
    Seed,
    Series,
    Steps,
    Volume,
)
from napari_brgm.errors import InputError

if TYPE_CHECKING:
    from napari_brgm.cli.one_slice import Task

__all__ = ["clean"]


def clean(
    scan: Annotated[Path, typer.Argument(metavar="SCAN", help="NIfTI file, DICOM file or folder of a DICOM series.")],
    out: Out,
    jpeg_quality: Annotated[
        int | None,
        typer.Option(help="Quality, 1 .. 100, of the lossy JPEG that the slice went through.", show_default=False),
    ] = None,
    noise_sigma: Annotated[
        float | None,
        typer.Option(help="Instead: standard deviation of plain noise, in the scan's units.", show_default=False),
    ] = None,
    prior: PriorName = DEFAULT_PRIOR,
    method: MethodOption = MethodName.map,
    steps: Steps = None,
    samples: Samples = 32,
    seed: Seed = 0,
    device: Device = "auto",
    preset: PresetName = AUTO,
    plane: PlaneOption = None,
    index: Index = None,
    volume: Volume = None,
    series: Series = None,
    overwrite: Overwrite = False,
) -> None:
    """Restore a slice that lossy JPEG compression or noise spoilt.

    The middle slice, or the one of --index. Every pixel of the result is an estimate: none is kept as measured, and
    small findings may be gone or made up. After JPEG the variance is too small: on brain slices of quality 10 the 90 %
    intervals held 65 % of the pixels. Writes the slice and its variance (2-D NIfTI in the right place), a record of
    how each came about (JSON), its posterior (safetensors) and a picture (PNG).
    """
    from napari_brgm.cli.notes import tell_notes
    from napari_brgm.cli.one_slice import restore_one
    from napari_brgm.cli.restored_slice import Job
    from napari_brgm.cli.scan_input import choose_plane, open_scan

    run = Run.of(prior, method, steps, samples, seed, device, preset)
    task = _task(jpeg_quality, noise_sigma)
    source = open_scan(scan, series, volume)
    loaded = run.load_prior()
    chosen = choose_plane(source, plane, loaded.info)
    number = source.count(chosen) // 2 if index is None else index
    done = restore_one(source, chosen, number, task, Job(loaded, run, out, (scan,), volume, overwrite))
    tell_notes(done.slices)
    for file in done.files:
        typer.echo(file)


def _task(quality: int | None, sigma: float | None) -> Task:
    from napari_brgm.cli.one_slice import Task
    from napari_brgm.corruptions import Identity, Jpeg

    if (quality is None) == (sigma is None):
        raise InputError("say what spoilt the slice: give either --jpeg-quality or --noise-sigma")
    corruption = Identity() if quality is None else Jpeg(quality)
    if sigma is not None and not 0 < sigma < float("inf"):
        raise InputError(f"--noise-sigma must be above 0, in the scan's units; got {sigma}")
    done = "noise removed" if quality is None else f"JPEG artefacts removed (quality {quality})"
    notice = "every pixel is an estimate, none is kept as measured; synthetic, not for diagnosis"
    return Task("brgmClean", done, corruption, noise_sigma=sigma, given="as given", notice=notice)
