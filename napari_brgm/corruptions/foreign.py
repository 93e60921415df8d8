"""Operators of others as corruptions: deepinv's ``LinearPhysics``, for instance, or a class with the bare protocol."""

from __future__ import annotations

from contextlib import suppress
from itertools import chain
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from napari_brgm.corruptions.conjugate_gradient import tikhonov_inverse
from napari_brgm.corruptions.corruption import Corruption, LinearOperator, Shape, check_ratio
from napari_brgm.errors import BrgmError, InputError
from napari_brgm.reason import lacks_memory

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    import numpy.typing as npt

__all__ = ["Foreign", "as_corruption"]

_WANTED = ("A", "A_adjoint", "A_dagger")
_UNTOLD = object()
_MISSED = 1e-2  # of white noise, by A A^+; the engine goes four times over what is missed
_GAIN = 2.0  # |A^+ n| |A' n| / |n|^2 of white noise n: 1 where all singular values are alike, whatever their size


class Foreign(LinearOperator):
    """An operator that acts, and may say more: it is asked all that the engine asks; what it leaves out is tried.

    It acts in its own precision and on its own device where it refuses those of the image. One that makes 0 of some
    pixels and leaves the others as they are is a mask, and they are kept; one that leaves all is noise only.

    Parameters
    ----------
    operator : object
        With ``A`` (B, C, H, W) -> (B, C', h, w), ``A_adjoint`` back and ``A_dagger``, linear and batched. ``A_dagger``
        is used where it is an inverse on the right that hardly amplifies noise (``well_posed``); else the regularised
        inverse is found from A and A' (see `tikhonov_inverse`). Or a ``Corruption``, linear or not.

    Raises
    ------
    InputError
        From whatever makes it act: it cannot, with its own reason.
    """

    __slots__ = ("_like", "_posed", "operator")

    def __init__(self, operator: Any) -> None:
        self.operator = operator
        self._like: tuple[torch.device, torch.dtype] | None = None  # what it took last, where it refused the image's
        self._posed: dict[Shape, bool] = {}

    def __repr__(self) -> str:
        return f"Foreign({type(self.operator).__name__})"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Foreign) and self.operator is other.operator

    def __hash__(self) -> int:
        return hash((Foreign, id(self.operator)))

    @property
    def linear(self) -> bool:
        return bool(self._told("linear", True))

    @property
    def exact(self) -> bool:
        return bool(self._told("exact", True))

    @property
    def iterative(self) -> bool:
        return bool(self._told("iterative", True))  # where it is regularised

    @property
    def adds_noise(self) -> bool:
        return bool(self._told("adds_noise", False))

    @property
    def averages(self) -> bool:
        return bool(self._told("averages", False))

    def well_posed(self, observed_hw: Shape) -> bool:
        """As the operator tells it; else as white noise shows it."""
        told = self._told("well_posed", None, observed_hw)
        if told is not None or not self.linear:
            return bool(told)
        if observed_hw not in self._posed:
            self._posed[observed_hw] = False
            with suppress(InputError), torch.no_grad():
                y = self._seen("A", self.image_shape(observed_hw))[1]
                noise = torch.randn(y.shape, generator=torch.Generator().manual_seed(0)) * (y != 0)
                found, power = self.A_dagger(noise), noise.square().sum()
                missed = (self.A(found) - noise).norm() / power.sqrt()
                gain = found.norm() * self.A_adjoint(noise).norm() / power
                self._posed[observed_hw] = bool(missed < _MISSED and gain < _GAIN)
        return self._posed[observed_hw]

    def coarsens(self, observed_hw: Shape) -> tuple[float, float]:
        rows, columns = self._told("coarsens", None, observed_hw) or super().coarsens(observed_hw)
        return float(rows), float(columns)

    def hidden(self, observed_hw: Shape) -> Tensor | None:
        """As the operator tells it; else where a linear one makes 0 of whatever it is given."""
        told = self._told("hidden", _UNTOLD, observed_hw)
        if told is not _UNTOLD:
            return _flags(told)
        size = self.image_shape(observed_hw)
        if not self.linear:
            return None
        try:
            y = self._seen("A", size)[1]
        except InputError:  # one that takes other channels: nothing is known
            return None
        if tuple(y.shape[-2:]) != tuple(observed_hw):
            rows, columns = y.shape[-2:]
            raise InputError(
                f"{type(self.operator).__name__} makes {rows} x {columns} pixels of {size[0]} x {size[1]}, but the "
                f"image has {observed_hw[0]} x {observed_hw[1]}"
            )
        empty = (y == 0).all(dim=1)[0]  # (h, w)
        return empty if bool(empty.any()) and not bool(empty.all()) else None

    def kept(self, image_hw: Shape) -> Tensor | None:
        """As the operator tells it; else those that a mask leaves."""
        told = self._told("kept", _UNTOLD, image_hw)
        if told is not _UNTOLD:
            return _flags(told)
        x, y = self._seen("A", image_hw)
        if not self.linear or x.shape != y.shape:
            return None
        same, empty = ((y == value).all(dim=1)[0] for value in (x, torch.zeros(())))
        return same if bool((same | empty).all()) and bool(same.any()) and bool(empty.any()) else None

    def blinded(self, hidden: Tensor) -> Tensor:
        with suppress(InputError):
            return super().blinded(hidden)
        return torch.zeros(self.observed_shape((hidden.shape[-2], hidden.shape[-1])), dtype=torch.bool)  # not known

    def observed_channels(self, channels: int) -> int:
        return int(self._told("observed_channels", channels, channels))

    def noise_in(self, observation: npt.NDArray[Any]) -> float | None:
        found: float | None = self._told("noise_in", None, observation)
        return found

    def A(self, x: Tensor) -> Tensor:
        return self._act("A", x)

    def A_adjoint(self, y: Tensor, shape: Shape | None = None) -> Tensor:
        return self._act("A_adjoint", y)

    def A_dagger(self, y: Tensor, shape: Shape | None = None, noise_to_signal: float = 0.0) -> Tensor:
        check_ratio(noise_to_signal)
        if noise_to_signal:
            return tikhonov_inverse(self.A, self.A_adjoint, y, noise_to_signal)
        return self._act("A_dagger", y)

    def observed_shape(self, shape_hw: Shape) -> Shape:
        rows, columns = self._told("observed_shape", None, shape_hw) or self._seen("A", shape_hw)[1].shape[-2:]
        return int(rows), int(columns)

    def image_shape(self, observed_hw: Shape) -> Shape:
        rows, columns = (
            self._told("image_shape", None, observed_hw) or self._seen("A_adjoint", observed_hw)[1].shape[-2:]
        )
        return int(rows), int(columns)

    def describe(self) -> dict[str, Any]:
        kind = type(self.operator)
        return dict(self._told("describe", {"name": kind.__name__, "module": kind.__module__}))

    def _told(self, name: str, default: Any, *given: Any) -> Any:
        """What the operator answers to a question, if it knows it."""
        told = getattr(self.operator, name, default)
        return self._own(told, *given) if callable(told) else told

    def _seen(self, action: str, shape: Shape) -> tuple[Tensor, Tensor]:
        """Positive noise (1, C, *shape) and what becomes of it; gray, or in colour where that is refused."""
        noise = torch.rand(1, 3, *shape, generator=torch.Generator().manual_seed(0)) + 1
        with torch.no_grad():
            try:
                return noise[:, :1], self._act(action, noise[:, :1])
            except InputError:
                with suppress(InputError):
                    return noise, self._act(action, noise)
                raise

    def _act(self, action: str, x: Tensor) -> Tensor:
        """Act on x as it is, or else in what precision and on what device the operator takes it."""
        refused = None
        for like in chain((self._like, None), self._likes(x)):
            try:
                found = self._own(getattr(self.operator, action, None), x if like is None else x.to(*like), of=x)
            except InputError as error:
                refused = refused or error
            else:
                self._like = like
                if found is None:
                    raise InputError(f"{action} of {type(self.operator).__name__} gives nothing back; let it return y")
                return torch.as_tensor(found).to(x)
        assert refused is not None
        raise refused

    def _likes(self, x: Tensor) -> Iterator[tuple[torch.device, torch.dtype]]:
        """Devices and precisions that it may want: those of its own tensors, and the CPU's."""
        held = chain(
            *(part() for name in ("buffers", "parameters") if callable(part := getattr(self.operator, name, None))),
            getattr(self.operator, "__dict__", {}).values(),
        )
        own = [(one.device, one.dtype) for one in held if isinstance(one, Tensor) and one.is_floating_point()]
        usual = [(device, dtype) for device in (x.device, torch.device("cpu")) for dtype in (x.dtype, torch.float64)]
        yield from dict.fromkeys(own + usual)

    def _own(self, call: Callable[..., Any] | None, *given: Any, of: Tensor | None = None) -> Any:
        """Call what is the operator's own; whatever it raises becomes one sentence."""
        name = type(self.operator).__name__
        try:
            return call(*given)  # type: ignore[misc]
        except BrgmError:
            raise
        except Exception as error:
            if lacks_memory(error):
                raise
            size = "" if of is None else f" to {of.shape[-2]} x {of.shape[-1]} pixels"
            raise InputError(f"{name} cannot be applied{size}: {(str(error) or name).splitlines()[0]}") from error


def _flags(told: Any) -> Tensor | None:
    return None if told is None else torch.as_tensor(told).cpu().bool()


def as_corruption(operator: Any) -> LinearOperator:
    """Give a corruption of ours as it is, and another's operator as one.

    Raises
    ------
    InputError
        It is neither: it lacks A, A_adjoint or A_dagger.
    """
    if isinstance(operator, LinearOperator):
        return operator
    lacking = [name for name in _WANTED if not callable(getattr(operator, name, None))]
    if lacking and not isinstance(operator, Corruption):
        raise InputError(f"{operator!r} is not a corruption: it lacks {', '.join(lacking)}")
    return Foreign(operator)
