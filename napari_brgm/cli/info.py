"""``napari-brgm info``."""

from __future__ import annotations

import platform
from typing import Annotated

import typer

from napari_brgm.cli.terminal import say
from napari_brgm.text import sentence

__all__ = ["info"]


def info(
    fetch_backbone: Annotated[
        bool, typer.Option("--fetch-backbone", help="Download the VGG16 backbone of LPIPS (528 MB), after asking.")
    ] = False,
) -> None:
    """Print version, device, priors with their hashes, and whether a perceptual backbone is on disk."""
    import torch

    from napari_brgm import __version__, perceptual
    from napari_brgm.zoo.files import sha256_of
    from napari_brgm.zoo.folder import installed
    from napari_brgm.zoo.registry import card_of, file_of, registered

    say(f"napari-brgm {__version__}, Python {platform.python_version()}, torch {torch.__version__}")
    if torch.cuda.is_available():
        device = f"cuda ({torch.cuda.get_device_name()})"
    else:
        device = f"cpu ({torch.get_num_threads()} threads); no CUDA device can be used"
    say(f"device: {device}")
    say("priors:")
    for name, entry in (installed() | registered()).items():
        file = file_of(entry)
        if file is None or not file.is_file():
            state = f"MISSING: {file}"
        elif sha256_of(file) != entry.sha256:
            state = f"DAMAGED: its hash differs; install {'napari-brgm' if entry.kind == 'shipped' else 'it'} again"
        else:
            state = f"{file.stat().st_size / 1e6:.1f} MB, intact"
        anatomy = ", ".join(part for part in (entry.modality, entry.plane) if part) or "anatomy not stated"
        say(f"  {name}: {anatomy}, {entry.resolution} x {entry.resolution}; {state}")
        say(f"    sha256 {entry.sha256}")
        factors = entry.calibration
        known = "not calibrated" if factors is None else f"calibrated on {factors.subjects} held-out subjects"
        say(f"    90 % intervals: {known}; misfit limit: {entry.misfit_limit or 'not measured'}")
        say(f"    licence: {sentence(entry.licence)}; card: {card_of(entry) or 'none'}")
    path = perceptual.backbone_path()
    if fetch_backbone and not path.is_file():
        perceptual.fetch_backbone(typer.confirm(f"Download the VGG16 backbone (528 MB) to {path.parent}?"))
    say(
        f"perceptual backbone: VGG16 at {path}"
        if path.is_file()
        else "perceptual backbone: none on disk; features that ship with the prior take its place"
    )
