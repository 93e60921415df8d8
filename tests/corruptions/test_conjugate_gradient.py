"""Conjugate gradients: the solution, each entry by itself, and a search that can be ended."""

from __future__ import annotations

import pytest
import torch

from napari_brgm.corruptions.conjugate_gradient import solved, tikhonov_inverse
from napari_brgm.errors import Cancelled


@pytest.fixture
def matrix(normal) -> torch.Tensor:
    root = normal((12, 12))
    return root @ root.T + torch.eye(12)


def test_it_solves_entry_by_entry(matrix, normal) -> None:
    """Entries of all sizes, one of zeros, and one that needs a single step and must not be spoilt by the others."""
    easy = torch.linalg.eigh(matrix)[1][:, 3]
    right = torch.stack([normal((12,)), 1e6 * normal((12,), seed=1), torch.zeros(12), 1e-6 * easy])
    found = solved(lambda x: x @ matrix, right, iterations=60, tolerance=1e-12)
    torch.testing.assert_close(found, right @ torch.linalg.inv(matrix), rtol=1e-8, atol=0)
    for row in range(4):
        alone = solved(lambda x: x @ matrix, right[row : row + 1], iterations=60, tolerance=1e-12)
        torch.testing.assert_close(alone[0], found[row], rtol=1e-9, atol=0)


def test_the_tolerance_is_that_of_the_residual(matrix, normal) -> None:
    right = normal((3, 12))
    for tolerance, less in ((0.3, 0.003), (1e-4, 0.0)):
        found = solved(lambda x: x @ matrix, right, iterations=60, tolerance=tolerance)
        left = (right - found @ matrix).norm(dim=1) / right.norm(dim=1)
        assert (left <= tolerance).all() and (left > less).all()


def test_it_asks_before_each_iteration_whether_to_go_on(matrix, normal) -> None:
    """Catches a long search that cannot be cancelled."""
    products, asked = [], []

    def normal_equations(x: torch.Tensor) -> torch.Tensor:
        products.append(1)
        return x @ matrix

    def check() -> None:
        asked.append(len(products))
        if len(asked) == 4:
            raise Cancelled("enough")

    with pytest.raises(Cancelled):
        solved(normal_equations, normal((2, 12)), iterations=60, tolerance=1e-12, check=check)
    assert asked == [0, 1, 2, 3]


@pytest.mark.parametrize("ratio", [0.0, 0.1])
def test_the_inverse_is_that_of_dense_matrices(normal, ratio) -> None:
    a, y = normal((5, 9)), normal((3, 5), seed=1)
    found = tikhonov_inverse(lambda x: x @ a.T, lambda r: r @ a, y, ratio)
    torch.testing.assert_close(found, y @ torch.linalg.inv(a @ a.T + ratio * torch.eye(5)) @ a, rtol=1e-7, atol=1e-9)
