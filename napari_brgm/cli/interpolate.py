"""``napari-brgm interpolate``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from napari_brgm.cli import options
from napari_brgm.cli.terminal import say_path
from napari_brgm.errors import InputError

if TYPE_CHECKING:
    from napari_brgm.cli.options import PlaneName
    from napari_brgm.priors.prior import PriorInfo
    from napari_brgm.scan import Scan, ScanSlice

__all__ = ["interpolate"]

_TASK = "brgmInterpolation"


def interpolate(
    first: Annotated[Path, typer.Argument(metavar="FIRST", help="NIfTI file, DICOM file or folder of a DICOM series.")],
    second: Annotated[Path, typer.Argument(metavar="SECOND", help="The same, or the same file again.")],
    out: options.Out,
    index_first: Annotated[
        int | None, typer.Option(help="Slice of FIRST, from 0; default: the middle.", show_default=False)
    ] = None,
    index_second: Annotated[
        int | None, typer.Option(help="Slice of SECOND, from 0; default: the middle.", show_default=False)
    ] = None,
    steps: Annotated[int, typer.Option(help="Images, both ends among them.")] = 8,
    prior: options.PriorName = options.DEFAULT_PRIOR,
    inversion_steps: Annotated[int, typer.Option(help="Steps of the search for the latents.")] = 200,
    device: options.Device = "auto",
    plane: options.PlaneOption = None,
    volume_first: Annotated[int | None, typer.Option(help="Volume of a 4-D FIRST.", show_default=False)] = None,
    volume_second: Annotated[int | None, typer.Option(help="Volume of a 4-D SECOND.", show_default=False)] = None,
    series_first: Annotated[int | None, typer.Option(help="Series of FIRST, from 1.", show_default=False)] = None,
    series_second: Annotated[int | None, typer.Option(help="Series of SECOND, from 1.", show_default=False)] = None,
    overwrite: options.Overwrite = False,
) -> None:
    """Draw what lies between two slices in a prior's latent space.

    All images are synthetic, the ends too: they are what the prior makes of the two slices. Writes them as the volumes
    of one 4-D NIfTI in the place and the units of the first slice, a record (JSON) and a picture (PNG).
    """
    how = options.InferenceOptions.of(prior, "map", None, 2, 0, device, options.AUTO)
    if not 2 <= steps <= 512:
        raise InputError(f"--steps must be in 2 .. 512, got {steps}")
    if inversion_steps < 0:
        raise InputError(f"--inversion-steps must be 0 or above, got {inversion_steps}")
    from napari_brgm.cli.inputs import open_scan
    from napari_brgm.cli.progress import count_bar
    from napari_brgm.cli.sheet import SYNTHETIC, SheetImage, draw_gallery
    from napari_brgm.cli.target import ShellOutputs
    from napari_brgm.engine.explore import interpolate as between
    from napari_brgm.scan import Scan
    from napari_brgm.scans.export import write_nifti
    from napari_brgm.scans.names import derivative_name, json_name, series_label, source_label, stem_of

    one = open_scan(first, series_first, volume_first, "-first")
    other = open_scan(second, series_second, volume_second, "-second")
    loaded = how.load_prior()
    start, end = (
        _slice(scan, plane, index, which, loaded.info)
        for scan, index, which in ((one, index_first, "first"), (other, index_second, "second"))
    )
    ends = ((one, first), (other, second))
    stem = stem_of(one, first)
    stack, sheet = derivative_name(stem, _TASK, ".nii.gz"), derivative_name(stem, f"{_TASK}Sheet", ".png")
    with ShellOutputs(out, [stack, sheet, json_name(stack)], overwrite) as files:
        with count_bar() as tell:
            found = between(
                loaded, start.image, end.image, steps, spacing_first=start.spacing, spacing_second=end.spacing,
                inversion_steps=inversion_steps, device=device,
                report=lambda done, total: tell(done, total, "searching the latents"),
            )  # fmt: skip
        volumes = found.images.transpose(1, 2, 0)[:, :, None]  # (H, W, 1, steps)
        text = {
            "Description": f"{SYNTHETIC}; volumes run from the first slice to the second, both as the prior draws them",
            "Sources": [source_label(one, first), source_label(other, second)],
            "Units": start.units,
            "plane": [start.plane, end.plane],
            "index": [start.index, end.index],
        }
        write_nifti(Scan(volumes, start.affine, start.units, one.name), files.path(stack), text | found.provenance)
        shares = [100 * i / (steps - 1) for i in range(steps)]
        panels = [SheetImage("first, measured", start.image, start.spacing)]
        panels += [
            SheetImage(f"synthetic, {share:.0f} %", image, start.spacing)
            for share, image in zip(shares, found.images, strict=True)
        ]
        panels += [SheetImage("second, measured", end.image, end.spacing)]
        draw_gallery(
            files.path(sheet), panels,
            " to ".join(series_label(scan.header) or scan.name or stem_of(scan, path) for scan, path in ends),
            "synthetic but for the slices marked as measured; not for diagnosis",
        )  # fmt: skip
    for name in (stack, sheet):
        say_path(out / name)


def _slice(scan: Scan, plane: PlaneName | None, index: int | None, which: str, prior: PriorInfo) -> ScanSlice:
    from napari_brgm.cli.inputs import choose_plane

    chosen = choose_plane(scan, plane, prior)
    count = scan.count(chosen)
    number = count // 2 if index is None else index
    if not 0 <= number < count:
        raise InputError(f"there is no {chosen} slice {number}; choose --index-{which} 0 .. {count - 1}")
    return scan.slice(chosen, number)
