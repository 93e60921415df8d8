"""Motion: the way the angle says, as long as it is told, and reflected at the edges."""

from __future__ import annotations

import pytest
import torch

from napari_brgm.corruptions import Motion


def test_motion_goes_the_way_the_angle_says() -> None:
    """45 degrees is up and to the right as displayed; the path has the length asked for."""
    point = torch.zeros(1, 1, 41, 41, dtype=torch.float64)
    point[..., 20, 20] = 1
    y = Motion(20, 45)(point)[0, 0]
    assert y[15, 25] > 0.02
    assert y[25, 15] > 0.02
    assert y[15, 15] == y[25, 25] == 0
    at = torch.arange(41, dtype=torch.float64) - 20
    assert float((y.sum(0) * at).sum()) == pytest.approx(0, abs=1e-12)
    # variance of a path of length L is L^2 / 12, half of it on each axis, plus that of the bilinear hat (below 1/4)
    assert 0 < float((y.sum(0) * at**2).sum()) - 20**2 / 24 < 0.25
    assert int((Motion(20, 90)(point)[0, 0].sum(0) > 0).sum()) == 1


def test_it_reflects(normal) -> None:
    x = normal((1, 1, 9, 40))
    mirrored = torch.cat([x.flip(-1), x, x.flip(-1)], dim=-1)
    torch.testing.assert_close(Motion(7.5, 0)(mirrored)[..., 40:80], Motion(7.5, 0)(x))
