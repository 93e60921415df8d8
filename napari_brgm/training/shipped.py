"""How the shipped priors are trained: framing of the slices and recipe, by name."""

from __future__ import annotations

from dataclasses import dataclass, field

from napari_brgm.datasets import Framing
from napari_brgm.priors.prior import PriorInfo
from napari_brgm.training.lcm_settings import LcmSettings
from napari_brgm.training.poses import Poses
from napari_brgm.training.recipe import Recipe
from napari_brgm.training.refine import RefineSettings

__all__ = ["MANIFOLDS", "SHIPPED", "Shipped", "ShippedManifold"]


@dataclass(frozen=True, slots=True)
class Shipped:
    """A prior that ships: where its slices come from, and what is made of them."""

    framing: Framing
    recipe: Recipe
    pixel_mm: float | None = field(default=None)  # of the images in the archive; None: as they are
    deblock: bool = field(default=False)  # the archive's JPEG has blocks that a finish would learn


@dataclass(frozen=True, slots=True)
class ShippedManifold:
    """A latent convolutional model that ships."""

    framing: Framing
    info: PriorInfo
    settings: LcmSettings
    pixel_mm: float | None = field(default=None)  # as of ``Shipped``


_BRAIN_POSES = Poses(copies=1, shift=0.01, scale=0.02, rotation=2.0)
_CHEST_POSES = Poses(copies=4, shift=0.05, scale=0.05, rotation=4.0)

_WIDTHS_256 = ((8, 128), (16, 96), (32, 64), (64, 32), (128, 16), (256, 8))  # (resolution, channels)
_ENCODER_256 = (8, 12, 24, 48, 64, 96)

SHIPPED = {
    "brain-axial-128": Shipped(
        Framing(128, 1.5),
        Recipe(
            PriorInfo("brain-axial-128", "MR T1", "axial", 1.5, representation_sigma=8500.0**0.5),
            mirror=True,
            own_share=0.75,
            poses=_BRAIN_POSES,
            refine=RefineSettings(images=24_000, stages=((64, 12_000),)),
            encoder_steps=1500,
        ),
        pixel_mm=1.0,
        deblock=True,
    ),
    "brain-axial-256": Shipped(
        Framing(256, 1.0),
        Recipe(
            PriorInfo("brain-axial-256", "MR T1", "axial", 1.0, representation_sigma=19000.0**0.5),
            grid=128,
            mirror=True,
            own_share=0.75,
            poses=_BRAIN_POSES,
            refine=RefineSettings(
                widths=_WIDTHS_256,
                images=24_000,
                stages=((64, 17_000), (128, 22_500)),
            ),
            encoder_widths=_ENCODER_256,
            encoder_steps=1500,
        ),
        pixel_mm=1.0,
        deblock=True,
    ),
    "chest-xray-256": Shipped(
        Framing(256),
        Recipe(
            PriorInfo("chest-xray-256", "CR", "frontal", 0.0, bright_level=227.0, representation_sigma=90.0),
            grid=128,
            poses=_CHEST_POSES,
            refine=RefineSettings(
                widths=_WIDTHS_256,
                images=30_000,
                stages=((64, 22_000), (128, 28_500)),
            ),
            encoder_widths=_ENCODER_256,
            encoder_steps=1500,
        ),
    ),
}

MANIFOLDS = {
    "brain-axial-lcm-128": ShippedManifold(
        Framing(128, 1.5),
        PriorInfo("brain-axial-lcm-128", "MR T1", "axial", 1.5),
        LcmSettings(images=80_000, every=2),
        pixel_mm=1.0,
    ),
    "chest-xray-lcm-128": ShippedManifold(
        Framing(128),
        PriorInfo("chest-xray-lcm-128", "CR", "frontal", 0.0, bright_level=227.0),
        LcmSettings(images=60_000),
    ),
}
