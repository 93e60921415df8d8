"""Priors whose network can be exchanged: for pivotal tuning, and for compilation."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol, runtime_checkable

from napari_brgm.errors import InputError

if TYPE_CHECKING:
    from torch import nn

    from napari_brgm.priors.prior import Prior

__all__ = ["Exchangeable", "network_of", "with_network"]


@runtime_checkable
class Exchangeable(Protocol):
    """A prior that is a network and more."""

    @property
    def network(self) -> nn.Module: ...
    def with_network(self, network: nn.Module) -> Prior: ...


def network_of(prior: Prior) -> nn.Module | None:
    """The network that ``with_network`` exchanges; None where there is none beside the latents."""
    return prior.network if isinstance(prior, Exchangeable) else None


def with_network(prior: Prior, network: nn.Module) -> Prior:
    """The same prior with another network of the same shape.

    Raises
    ------
    InputError
        It has none that could be exchanged.
    """
    if not isinstance(prior, Exchangeable):
        raise InputError(f"{prior.info.name} has no network to exchange")
    return prior.with_network(network)
