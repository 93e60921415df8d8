"""``napari-brgm superres``."""

from __future__ import annotations

from typing import Annotated

import typer

from napari_brgm.cli import options
from napari_brgm.errors import InputError

__all__ = ["superres"]


def superres(
    scan: options.ScanPath,
    out: options.Out,
    factor: Annotated[str, typer.Option(help="Finer by this much: 4, 2.5, or ROWS,COLUMNS such as 3,1.")] = "4",
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
    """Give one slice of a scan finer pixels.

    The middle slice, or the one of --index. Writes the slice on its finer grid and its variance (2-D NIfTI in the right
    place), a record of how each came about (JSON), its posterior (safetensors) and a picture (PNG).
    """
    from napari_brgm.cli.inputs import choose_plane, open_scan
    from napari_brgm.cli.restoration import Treatment, restore_scan
    from napari_brgm.corruptions import Downsample

    how = options.InferenceOptions.of(prior, method, steps, samples, seed, device, preset, refine)
    corruption = Downsample(_factor(factor))
    source = open_scan(scan, series, volume)
    loaded = how.load_prior()
    chosen = choose_plane(source, plane, loaded.info)
    number = source.count(chosen) // 2 if index is None else index
    finer = float(corruption.factor[0]), float(corruption.factor[1])
    what = Treatment("brgmSuperres", "super-resolved", {number: lambda: corruption}, factor=finer)
    restore_scan(source, chosen, what, how, loaded, out, (scan,), volume=volume, overwrite=overwrite).tell()


def _factor(text: str) -> tuple[float, float]:
    try:
        numbers = [float(part) for part in text.split(",")]
    except ValueError:
        numbers = []
    if len(numbers) not in (1, 2):
        raise InputError(f"--factor is one number such as 4, or two for rows and columns such as 3,1; got {text!r}")
    return numbers[0], numbers[-1]
