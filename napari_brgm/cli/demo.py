"""``napari-brgm demo``: a real brain slice, in-painted and super-resolved, with no file and no network needed."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from typing import TYPE_CHECKING, Annotated, Any

import typer

from napari_brgm.cli import options
from napari_brgm.cli.terminal import say, say_path

if TYPE_CHECKING:
    from pathlib import Path

    import numpy.typing as npt

__all__ = ["demo"]

_STEM = "sub-MNI152_T1w"


def demo(
    out: options.Out,
    prior: options.PriorName = options.DEFAULT_PRIOR,
    method: options.MethodOption = options.MethodName.map,
    steps: options.Steps = None,
    samples: options.SampleCount = 32,
    seed: options.Seed = 0,
    device: options.Device = "cpu",
    preset: options.PresetName = options.AUTO,
    viewer: Annotated[bool, typer.Option(help="Open napari on the results when there is a display.")] = True,
    overwrite: options.Overwrite = False,
) -> None:
    """Restore a real brain slice: one in-painting and one super-resolution x4, each with its variance.

    The slice is the MNI152 T1 template that comes with nilearn: an average of 152 heads, smoother than a single one.
    """
    import numpy as np

    from napari_brgm.cli.restoration import restore_source, tell_notes
    from napari_brgm.cli.scan_source import ScanSource
    from napari_brgm.cli.target import ShellOutputs, Target
    from napari_brgm.cli.treatment import Treatment
    from napari_brgm.corruptions import Downsample, Mask
    from napari_brgm.scan import Scan
    from napari_brgm.scans.export import write_nifti
    from napari_brgm.scans.names import derivative_name, json_name
    from napari_brgm.scans.samples import brain_slice, thick_brain_slice

    how = options.InferenceOptions.of(prior, method, steps, samples, seed, device, preset)
    loaded = how.load_prior()
    scan, missing = brain_slice()
    coarse = thick_brain_slice()
    piece = scan.slice("axial", 0)
    names = (f"{_STEM}.nii.gz", *(derivative_name(_STEM, what, ".nii.gz") for what in ("artefact", "coarse")))
    scans = {
        "one slice of the MNI152 T1 template, as packed by nilearn": scan,
        "strokes of a brush on it, 1 = missing": scan.with_slice(piece, missing),
        "the slice with pixels of 4 mm": coarse,
    }
    with ShellOutputs(out, [*names, *map(json_name, names)], overwrite) as files:
        for name, (text, image) in zip(names, scans.items(), strict=True):
            write_nifti(image, files.path(name), {"Description": text})
    original, mask, low = (out / name for name in names)

    began = time.perf_counter()
    # the pixels under the mask are taken out first, so that nothing can leak
    holed = scan.with_slice(piece, np.where(missing, 0, piece.image))
    paint = Treatment("brgmInpaint", "in-painted", {0: lambda: Mask(missing)}, {0: missing}, truth={0: piece.image})
    target = Target(out, overwrite)
    painted = restore_source(ScanSource(holed, "axial", original), paint, how, loaded, target, (original, mask))
    found = painted.slices[0][1].estimate
    _report("in-painting", time.perf_counter() - began, found[missing], piece.image[missing])

    began = time.perf_counter()
    fine = Scan(scan.array[: 4 * coarse.shape[0], : 4 * coarse.shape[1]], scan.affine).slice("axial", 0).image
    refine = Treatment("brgmSuperres", "super-resolved", {0: lambda: Downsample(4)}, factor=(4.0, 4.0), truth={0: fine})
    finer = restore_source(ScanSource(coarse, "axial", low), refine, how, loaded, target, (low,))
    _report("super-resolution x4", time.perf_counter() - began, finer.slices[0][1].estimate, fine)

    tell_notes([*painted.slices, *finer.slices])
    for file in (*painted.files, *finer.files):
        say_path(file)
    if viewer and _has_display():
        _open_napari([low, finer.files[0], original, mask, painted.files[0]])  # those of runs bring their variances
    elif viewer:
        say("there is no display, so napari was not opened; look at the two PNG sheets", err=True)


def _report(what: str, seconds: float, restored: npt.NDArray[Any], truth: npt.NDArray[Any]) -> None:
    error = float(((restored - truth) ** 2).mean() ** 0.5)
    say(f"{what}: {seconds:.1f} s, root mean square error {error:.3f} (tissue reaches {float(truth.max()):.2f})")


def _has_display() -> bool:
    if sys.platform in ("darwin", "win32"):
        return True
    return bool(os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY"))


def _open_napari(files: list[Path]) -> None:
    """Open a viewer in a process of its own: Qt aborts its process when it cannot reach the display."""
    command = [sys.executable, "-m", "napari", "--plugin", "napari-brgm", *map(str, files)]
    if subprocess.run(command, check=False).returncode:
        say("napari could not open a window; is PyQt6 installed (pip install 'napari-brgm[gui]')?", err=True)
