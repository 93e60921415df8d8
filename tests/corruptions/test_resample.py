"""A grid's points in an image: the sparse matrix against torch's own sampler, and its derivatives of all kinds."""

from __future__ import annotations

import os

import pytest
import torch
from torch.autograd.forward_ad import dual_level, make_dual, unpack_dual

from napari_brgm.corruptions import Frame
from napari_brgm.corruptions import resample as module
from napari_brgm.corruptions.resample import Sampling

FRAMES = {
    "finer": Frame((40, 52), 32, (0.7, 0.6), (19.5, 25.5), (15.5, 16.0), 12.0),
    "coarser": Frame((11, 9), 32, (2.6, 3.1), (5.0, 4.0), (15.5, 15.5), -31.0),
    "beyond": Frame((30, 30), 32, (1.5, 1.5), (14.5, 14.5), (12.0, 20.0), 45.0),
}


def sampling(name: str) -> Sampling:
    frame = FRAMES[name]
    return Sampling.of(frame.shape, (32, 32), frame.ratio, frame.into_frame)


@pytest.mark.parametrize("name", FRAMES)
@pytest.mark.parametrize("count", [1, 3, 19])
def test_as_torch_samples(name, count, monkeypatch):
    points = sampling(name)
    images, values = torch.randn(count, 2, 32, 32), torch.randn(count, 2, *points.shape)
    found = points.A(images), points.A_adjoint(values)
    monkeypatch.setattr(module, "_MOST", 0)
    torch.testing.assert_close(found[0], points.A(images), atol=2e-5, rtol=0)
    torch.testing.assert_close(found[1], points.A_adjoint(values), atol=1e-4, rtol=0)


@pytest.mark.parametrize("name", FRAMES)
def test_threads_change_nothing(name):
    images, before, found = torch.randn(50, 1, 32, 32), torch.get_num_threads(), []
    try:
        for threads in (1, 3):
            torch.set_num_threads(threads)
            found.append(sampling(name).A(images))
    finally:
        torch.set_num_threads(before)
    assert torch.equal(*found)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system does not fork")
def test_a_forked_process_has_threads_of_its_own():
    images, before = torch.randn(50, 1, 32, 32), torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        sampling("finer").A(images)
        module._pool(2).submit(int).result()  # its threads run
        child = os.fork()
        if not child:
            code = 1
            try:
                code = module._pool(2).submit(int).result(timeout=20)
            finally:
                os._exit(code)
        assert os.waitpid(child, 0)[1] == 0
    finally:
        torch.set_num_threads(before)


@pytest.mark.parametrize("name", FRAMES)
def test_the_transpose_is_one(name):
    points = sampling(name)
    x, y = torch.randn(1, 1, 32, 32), torch.randn(1, 1, *points.shape)
    ahead, back = (points.A(x).double() * y).sum(), (x * points.A_adjoint(y).double()).sum()
    assert float(ahead) == pytest.approx(float(back), rel=1e-5, abs=1e-4)


@pytest.mark.filterwarnings("ignore:.torch.jit.script. is deprecated")  # by torch.func itself
def test_derivatives():
    """Reverse, forward, a second time, and of functions of functions: what searches and spreads ask for."""
    points = sampling("coarser")
    x, tangent = torch.randn(2, 1, 32, 32, requires_grad=True), torch.randn(2, 1, 32, 32)
    y = torch.randn(2, 1, *points.shape)
    (slope,) = torch.autograd.grad((points.A(x) ** 3 * y).sum(), x, create_graph=True)
    torch.testing.assert_close(slope, points.A_adjoint(3 * points.A(x) ** 2 * y))
    (second,) = torch.autograd.grad((slope * tangent).sum(), x)
    torch.testing.assert_close(second, points.A_adjoint(6 * points.A(x) * y * points.A(tangent)), atol=1e-5, rtol=1e-5)
    with dual_level():
        ahead = unpack_dual(points.A(make_dual(x.detach(), tangent))).tangent
    torch.testing.assert_close(ahead, points.A(tangent))
    torch.testing.assert_close(torch.func.vjp(points.A, x.detach())[1](y)[0], points.A_adjoint(y))


def test_other_numbers_are_torch_s():
    """Catches a matrix of float32 for images of float64."""
    points = sampling("finer")
    x = torch.randn(1, 1, 32, 32, dtype=torch.float64)
    assert points.A(x).dtype == points.A_adjoint(points.A(x)).dtype == torch.float64
