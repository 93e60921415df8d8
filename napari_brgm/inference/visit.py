"""Visit: a point of the latent space with its loss; what the optimisers go through."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    # What is minimised, ``terms`` of a posterior or of several side by side: candidates v (B, L, D) -> weighted terms
    # (B,) by name, each row's of that row alone, and their images (B, C, R, R).
    Objective = Callable[[Tensor], tuple[dict[str, Tensor], Tensor]]

__all__ = ["Visit", "evaluate"]


@dataclass(frozen=True, slots=True)
class Visit:
    """Candidates, their weighted terms and their images.

    Attributes
    ----------
    v : (B, L, D) Tensor
        Coordinates of the posterior.
    terms : dict of (B,) Tensor
    images : (B, C, R, R) Tensor
    new : (B,) bool Tensor or None
        Rows for which the visit ends an iteration (in the others a line search goes on); None: all.
    """

    v: Tensor
    terms: dict[str, Tensor]
    images: Tensor
    new: Tensor | None = None

    @property
    def loss(self) -> Tensor:
        """(B,) sum of the terms."""
        return torch.stack(list(self.terms.values())).sum(dim=0)

    def numbers(self) -> tuple[list[float], list[dict[str, float]]]:
        """Losses and terms of the rows as numbers, in one transfer: a GPU waits for nobody meanwhile."""
        rows = torch.stack([self.loss, *self.terms.values()], dim=1).tolist()
        return [row[0] for row in rows], [dict(zip(self.terms, row[1:], strict=True)) for row in rows]

    def where(self, rows: Tensor, other: Visit) -> Visit:
        """``other`` for the candidates in ``rows`` (B,) bool, else this one."""

        def chosen(a: Tensor, b: Tensor) -> Tensor:
            return torch.where(rows.reshape(-1, *[1] * (a.ndim - 1)), b, a)

        terms = {name: chosen(term, other.terms[name]) for name, term in self.terms.items()}
        return Visit(chosen(self.v, other.v), terms, chosen(self.images, other.images))

    def detached(self) -> Visit:
        """The same without its graph."""
        return Visit(self.v.detach(), {k: t.detach() for k, t in self.terms.items()}, self.images.detach())


if TYPE_CHECKING:
    Descent = Iterator[Visit]  # one for each evaluation of G and of its gradient: all optimisers cost the same a step


def evaluate(objective: Objective, v: Tensor) -> Visit:
    """Terms and images at v (B, L, D), with the graph if v asks for it."""
    terms, images = objective(v)
    return Visit(v, terms, images)
