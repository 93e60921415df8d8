"""SupervisedRole: what a network is trained for, and which published one it stands for."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from napari_brgm.errors import InputError

__all__ = ["DENOISER", "ROLES", "SupervisedRole", "role_of"]


@dataclass(frozen=True, slots=True)
class SupervisedRole:
    """One of the five.

    Attributes
    ----------
    name, title : str
        Of files and rows; of tables.
    kind : 'hole', 'low-res' or 'noise'
        Of the tasks that it is trained for; 'noise': of the images that another method lets it denoise.
    adversarial : bool
        L1 and a discriminator of patches; begins with the weights of ``begins_with``. Else L1 alone.
    begins_with : str
        Name of the role whose weights it begins with; empty: none.
    fold : int
        Blocks of ``fold`` x ``fold`` pixels become channels, on which the network works.
    filters : int
        Of the finest level, twice as many at each coarser one.
    blocks : tuple of int
        Residual blocks of the levels, from fine to coarse.
    """

    name: str
    title: str
    kind: Literal["hole", "low-res", "noise"]
    adversarial: bool
    begins_with: str
    fold: int
    filters: int
    blocks: tuple[int, ...]


# holes need the whole image soon, low resolution its pixels
_HOLE = (4, 32, (1, 2, 2, 2))
_LOW_RES = (2, 24, (1, 1, 2, 2))
DENOISER = "denoiser"

ROLES: tuple[SupervisedRole, ...] = (
    SupervisedRole("inpaint-pixel", "network for in-painting, L1", "hole", False, "", *_HOLE),
    SupervisedRole("sr-pixel", "network for super-resolution, L1 (SRFBN's role)", "low-res", False, "", *_LOW_RES),
    SupervisedRole(
        "inpaint-adversarial", "network for in-painting, adversarial (SN-PatchGAN's role)", "hole", True,
        "inpaint-pixel", *_HOLE,
    ),
    SupervisedRole(
        "sr-adversarial", "network for super-resolution, adversarial (ESRGAN's role)", "low-res", True, "sr-pixel",
        *_LOW_RES,
    ),
    SupervisedRole(DENOISER, "network for noise, squared error", "noise", False, "", *_LOW_RES),
)  # fmt: skip


def role_of(name: str) -> SupervisedRole:
    """Find a role by its name.

    Raises
    ------
    InputError
        There is none.
    """
    for role in ROLES:
        if role.name == name:
            return role
    raise InputError(f"no network is called {name!r}; choose from {', '.join(role.name for role in ROLES)}")
