"""Compiled networks: torch.compile; on a GPU an inference puts them into a CUDA graph (inference/replayed.py).

The first call at each batch size takes from seconds to minutes; it pays for volumes and for large networks. The wrapper
lends the network's attributes, so that it can stand in its place in a prior.
"""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from napari_brgm.priors.network import network_of, with_network

if TYPE_CHECKING:
    from napari_brgm.priors.prior import Prior

__all__ = ["CompiledNetwork", "with_compiled_network"]


class CompiledNetwork(nn.Module):
    """A compiled network.

    Parameters
    ----------
    net : nn.Module
        Images from latents and more; its parameters stay where they are.
    """

    def __init__(self, net: nn.Module) -> None:
        super().__init__()
        self.net = net
        self.run = torch.compile(net, fullgraph=True)

    def __getattr__(self, name: str) -> Any:
        try:
            return super().__getattr__(name)
        except AttributeError:
            return getattr(self.net, name)

    def forward(self, *arguments: Any) -> Tensor:
        with warnings.catch_warnings():  # of the tracer, which looks at .grad of whatever it is given
            warnings.filterwarnings("ignore", message="The .grad attribute", category=UserWarning)
            return self.run(*arguments)  # type: ignore[no-any-return]


def with_compiled_network(prior: Prior) -> Prior:
    """The same prior with its network compiled, tried on one image and its gradient.

    Raises
    ------
    Exception
        Whatever the compiler says where it cannot: of many kinds, for want of a C++ compiler for instance.
    """
    network = network_of(prior)
    if network is None or isinstance(network, CompiledNetwork):
        return prior
    found = with_network(prior, CompiledNetwork(network))
    ws = prior.latents.mean.expand(1, prior.num_ws, -1).clone().requires_grad_(True)
    torch.autograd.grad(found.synthesize(ws).sum(), ws)
    return found
