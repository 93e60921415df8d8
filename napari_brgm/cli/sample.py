"""``napari-brgm sample``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from napari_brgm.cli import options
from napari_brgm.cli.terminal import say_path
from napari_brgm.errors import InputError

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

__all__ = ["sample"]

_TASK = "brgmSynthetic"
_SHOWN = 64  # pictures in the sheet
# world axes (x, y, z) that rows and columns run down, and the normal, as ``Scan.slice`` shows a plane
_WORLD = {"axial": (1, 0, 2), "coronal": (2, 0, 1), "frontal": (2, 0, 1), "sagittal": (2, 1, 0)}


def sample(
    out: options.Out,
    prior: options.PriorName = options.DEFAULT_PRIOR,
    count: Annotated[int, typer.Option(help="Images to draw.")] = 16,
    residual_field: Annotated[
        bool, typer.Option("--residual-field", help="Add a draw of what the generator cannot draw: fine texture.")
    ] = False,
    finish: Annotated[
        bool | None,
        typer.Option(
            "--finish/--no-finish",
            help="Give images the texture of scans; default: where the prior has a network for it.",
            show_default=False,
        ),
    ] = None,
    seed: options.Seed = 0,
    device: options.Device = "auto",
    overwrite: options.Overwrite = False,
) -> None:
    """Draw synthetic images from a prior, to see what it knows.

    None shows a patient. Writes the images as the volumes of one 4-D NIfTI (grey levels 0..255), a record of how they
    came about (JSON) and a picture (PNG).
    """
    how = options.InferenceOptions.of(prior, "map", None, 2, seed, device, options.AUTO)
    if not 1 <= count <= 4096:
        raise InputError(f"--count must be in 1 .. 4096, got {count}")
    from pathlib import Path

    from napari_brgm.cli.sheet import SYNTHETIC, SheetImage, draw_gallery
    from napari_brgm.cli.target import ShellOutputs
    from napari_brgm.engine.explore import draw, drawn_record
    from napari_brgm.scan import Scan
    from napari_brgm.scans.export import write_nifti
    from napari_brgm.scans.names import derivative_name, json_name

    loaded = how.load_prior()
    if loaded.channels != 1:
        raise InputError(
            f"{loaded.info.name} draws colour, which NIfTI files do not hold; use napari_brgm.draw in Python"
        )
    if finish is None:
        finish = loaded.parts.finish is not None and not residual_field
    stem = Path(loaded.info.name).stem or "prior"
    stack, sheet = derivative_name(stem, _TASK, ".nii.gz"), derivative_name(stem, f"{_TASK}Sheet", ".png")
    with ShellOutputs(out, [stack, sheet, json_name(stack)], overwrite) as files:
        look = {"residual": residual_field, "finish": finish}
        images = draw(loaded, count, seed, **look, device=device)  # (n, R, R)
        record = drawn_record(loaded, count, seed, **look, device=device)
        pixel = loaded.info.spacing_mm or 1.0
        volumes = images.transpose(1, 2, 0)[:, :, None]  # (R, R, 1, n)
        scan = Scan(volumes, _affine(loaded.info.plane, pixel), "grey levels", loaded.info.name)
        text = {"Description": f"{SYNTHETIC}; one volume an image", "Sources": [], "Units": scan.units}
        write_nifti(scan, files.path(stack), text | record)
        panels = [SheetImage(f"synthetic {i}", image, (pixel, pixel)) for i, image in enumerate(images[:_SHOWN])]
        more = f", the first {_SHOWN} of {count}" if count > _SHOWN else ""
        draw_gallery(files.path(sheet), panels, f"{loaded.info.name}, seed {seed}{more}")
    for name in (stack, sheet):
        say_path(out / name)


def _affine(plane: str, pixel: float) -> npt.NDArray[np.float64]:
    """(row, column, 0, 1) -> RAS+ mm; rows and columns run towards the back, left or feet, the normal as it may."""
    import numpy as np

    affine = np.zeros((4, 4))
    affine[3, 3] = 1
    for column, (world, sign) in enumerate(zip(_WORLD.get(plane, _WORLD["axial"]), (-1, -1, 1), strict=True)):
        affine[world, column] = sign * pixel
    return affine
