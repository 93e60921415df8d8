"""Mask: pixels that were not measured; f of in-painting (BRGM Sec. 2.2)."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from napari_brgm.corruptions.corruption import LinearOperator, Shape, check_batch, check_ratio
from napari_brgm.errors import InputError

if TYPE_CHECKING:
    import numpy.typing as npt

__all__ = ["Mask"]


class Mask(LinearOperator):
    """Set the missing pixels to 0: y = (1 - m) x. A is a projection, so A' = A^+ = A.

    Parameters
    ----------
    missing : (H, W) array-like or tensor of bool
        True (or 1) where a pixel is missing; it is copied. Of a stack whose slices are the channels of one image,
        (K, H, W): a mask for each.

    Attributes
    ----------
    missing, observed : (H, W) or (K, H, W) bool tensor
        On the CPU; not to be changed in place.

    Raises
    ------
    InputError
        The mask is not two-dimensional or not boolean, or marks no pixel, or all of them.

    Examples
    --------
    >>> import torch
    >>> f = Mask([[False, True], [False, False]])
    >>> f
    Mask(2 x 2 pixels, 1 missing)
    >>> f(torch.ones(1, 1, 2, 2)).tolist()
    [[[[1.0, 0.0], [1.0, 1.0]]]]
    """

    __slots__ = ("_moved", "missing")

    def __init__(self, missing: Tensor | npt.ArrayLike) -> None:
        self.missing = _checked(missing)
        self._moved: dict[torch.device, Tensor] = {}  # copies on other devices

    def __repr__(self) -> str:
        size = " x ".join(map(str, self.missing.shape))
        return f"Mask({size} pixels, {int(self.missing.sum())} missing)"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Mask) and torch.equal(self.missing, other.missing)

    def __hash__(self) -> int:
        return hash((Mask, tuple(self.missing.shape), int(self.missing.sum())))

    def __reduce__(self) -> tuple[type[Mask], tuple[Tensor]]:
        return Mask, (self.missing,)  # without the copies on other devices

    @classmethod
    def random(cls, shape: Shape, share: float, seed: int = 0) -> Mask:
        """Hide single pixels that lie at random (LCM, arXiv 1806.06284: its figure of sparse pixels hides 95 %).

        Parameters
        ----------
        shape : (int, int)
            Rows and columns.
        share : float
            Of the pixels that are hidden, above 0 and below 1; their count is the nearest whole number.
        seed : int
            0 or above.

        Raises
        ------
        InputError
            A number is out of range, or the share would hide no pixel, or all.

        Examples
        --------
        >>> Mask.random((10, 10), 0.95)
        Mask(10 x 10 pixels, 95 missing)
        """
        if not 0 < share < 1:
            raise InputError(f"the share of missing pixels must lie between 0 and 1, for example 0.95; got {share}")
        if seed < 0:
            raise InputError(f"the seed of a random mask must be 0 or above, got {seed}")
        rows, columns = (int(n) for n in shape)
        hidden = np.zeros(rows * columns, dtype=bool)
        hidden[np.random.default_rng(seed).permutation(hidden.size)[: round(share * hidden.size)]] = True
        return cls(hidden.reshape(rows, columns))

    @property
    def observed(self) -> Tensor:
        return ~self.missing

    def well_posed(self, observed_hw: Shape) -> bool:
        return True

    def hidden(self, observed_hw: Shape) -> Tensor:
        self.observed_shape(observed_hw)
        return self.missing

    def kept(self, image_hw: Shape) -> Tensor:
        self.observed_shape(image_hw)
        return self.observed

    def on_axes(self, image_hw: Shape) -> tuple[None, None] | None:
        return (None, None) if self.missing.ndim == 2 else None

    def A(self, x: Tensor) -> Tensor:
        check_batch(x, self._shape)
        if x.device not in self._moved:
            with torch.inference_mode(False):
                self._moved[x.device] = self.missing.to(x.device)
        return x.masked_fill(self._moved[x.device], 0.0)  # unlike a product, it also clears NaN

    def A_adjoint(self, y: Tensor, shape: Shape | None = None) -> Tensor:
        if shape is not None:
            self.observed_shape(shape)
        return self.A(y)

    def A_dagger(self, y: Tensor, shape: Shape | None = None, noise_to_signal: float = 0.0) -> Tensor:
        check_ratio(noise_to_signal)
        return self.A_adjoint(y, shape) / (1 + noise_to_signal)

    def observed_shape(self, shape_hw: Shape) -> Shape:
        if tuple(shape_hw) != self._shape:
            rows, columns = self._shape
            raise InputError(
                f"the mask has {rows} x {columns} pixels but the image has {shape_hw[0]} x {shape_hw[1]}; "
                "paint the mask on the same slice"
            )
        return self._shape

    def image_shape(self, observed_hw: Shape) -> Shape:
        return self.observed_shape(observed_hw)

    def describe(self) -> dict[str, Any]:
        packed = np.packbits(self.missing.numpy()).tobytes()
        return {
            "name": "Mask",
            "shape": list(self.missing.shape),
            "missing_pixels": int(self.missing.sum()),
            "sha256": hashlib.sha256(packed).hexdigest(),  # of the bits, row by row
        }

    @property
    def _shape(self) -> Shape:
        return self.missing.shape[-2], self.missing.shape[-1]


def _checked(missing: Tensor | npt.ArrayLike) -> Tensor:
    values = missing.detach().cpu().numpy() if isinstance(missing, Tensor) else np.asarray(missing)
    if values.ndim not in (2, 3):
        raise InputError(
            f"a mask must be two-dimensional (rows, columns), or a stack of such, got shape {values.shape}"
        )
    flags = values.astype(bool) if values.dtype.kind in "buif" else None
    if flags is None or not np.array_equal(flags, values):
        raise InputError("a mask must hold only true and false (or 1 and 0), true where a pixel is missing")
    if values.ndim == 3 and not flags.any():
        raise InputError(
            "the mask of a stack of two-dimensional slices marks no pixel as missing; mark what to restore"
        )
    if not flags.any():
        raise InputError("the mask marks no pixel as missing; mark the region to restore")
    if flags.all():
        raise InputError("the mask marks every pixel as missing; leave some of the image to restore from")
    return torch.from_numpy(flags.copy())
