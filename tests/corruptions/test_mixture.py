"""Mixtures of channels: gray from colour, and thick slices from thin ones."""

from __future__ import annotations

import pytest
import torch

from napari_brgm.corruptions import Compose, Downsample, Grayscale, Mixture

THICK = [[0.25, 0.5, 0.25, 0, 0], [0, 0, 0.25, 0.5, 0.25]]  # two slices that share a thin one


def test_gray_is_rec_601() -> None:
    x = torch.tensor([1.0, 10.0, 100.0])[None, :, None, None]
    assert Grayscale()(x).item() == pytest.approx(0.299 + 5.87 + 11.4)


def test_gray_is_equal_by_its_weights() -> None:
    assert Grayscale() == Grayscale((0.299, 0.587, 0.114)) != Grayscale((0.3, 0.6, 0.1))
    assert len({Grayscale(), Grayscale((0.299, 0.587, 0.114))}) == 1
    again = Mixture([[0.299, 0.587, 0.114]])
    assert again == Mixture(again.matrix.clone()) != Grayscale() and Grayscale() != again != Mixture([[1.0]])
    assert hash(again) == hash(Mixture(again.matrix.clone()))
    assert Grayscale().describe() == {"name": "Grayscale", "weights": [0.299, 0.587, 0.114]}


def test_thick_slices_by_loops(normal) -> None:
    x = normal((2, 5, 6, 7))
    found = Mixture(THICK)(x)
    for i, row in enumerate(THICK):
        torch.testing.assert_close(found[:, i], sum(share * x[:, k] for k, share in enumerate(row)))


def test_adjoint_and_inverse_of_thick_slices(normal) -> None:
    """Against the dense matrix: catches a matrix that is transposed once too often, or inverted pixel by pixel."""
    f, x, y = Mixture(THICK), normal((2, 5, 6, 7)), normal((2, 2, 6, 7), seed=1)
    m = torch.tensor(THICK, dtype=torch.float64)
    assert (f(x) * y).sum().item() == pytest.approx((x * f.A_adjoint(y)).sum().item(), rel=1e-12)
    for ratio in (0.0, 0.3):
        inverse = m.T @ torch.linalg.inv(m @ m.T + ratio * torch.eye(2))
        wanted = torch.einsum("kn,bnhw->bkhw", inverse, y)
        torch.testing.assert_close(f.A_dagger(y, noise_to_signal=ratio), wanted)
    torch.testing.assert_close(f(f.A_dagger(y)), y)


def test_rows_that_say_the_same_are_inverted_too(normal) -> None:
    """A A' is singular; catches a plain inverse, and a sum of two answers where there is one."""
    f, y = Mixture([[0.5, 0.5], [0.5, 0.5]]), normal((1, 1, 3, 3)).expand(1, 2, 3, 3)
    torch.testing.assert_close(f(f.A_dagger(y)), y)


def test_channels_of_the_observation() -> None:
    assert Mixture(THICK).observed_channels(5) == 2
    assert Compose(Downsample(2), Grayscale()).observed_channels(3) == 1
    assert Compose(Mixture(THICK), Downsample(2))(torch.ones(1, 5, 8, 8)).shape == (1, 2, 4, 4)
