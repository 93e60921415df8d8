"""Blur: as wide as it is told, and reflected at the edges."""

from __future__ import annotations

import pytest
import torch

from napari_brgm.corruptions import Blur


def test_blur_has_the_width_it_is_given_and_reflects(normal) -> None:
    k = Blur(6).axis_matrix(0, 101)
    profile = k[50]
    assert profile[50 + 3] / profile[50] == pytest.approx(0.5, rel=0.01)
    x = normal((1, 1, 9, 40))
    mirrored = torch.cat([x.flip(-1), x, x.flip(-1)], dim=-1)
    torch.testing.assert_close(Blur((0, 4))(mirrored)[..., 40:80], Blur((0, 4))(x))
