"""Memory of a long stack: what a run holds after many windows is what it held after a few."""

from __future__ import annotations

import gc
import tracemalloc
from functools import partial

import numpy as np
import torch

from napari_brgm.corruptions import Mask
from napari_brgm.engine.job import Job, Later, ObservedSlice, Stack
from napari_brgm.engine.run import run
from napari_brgm.settings import preset

COUNT, FEW, MANY = 132, 36, 120  # slices; after how many one looks, each time with the first of a window of twelve
A_SLICE = 24 * 24 * 4  # bytes


def held() -> tuple[int, int]:
    """Bytes of arrays and other objects of Python, and of tensors."""
    gc.collect()
    tensors = [one.untyped_storage() for one in gc.get_objects() if type(one) is torch.Tensor]
    return tracemalloc.get_traced_memory()[0], sum({one.data_ptr(): one.nbytes() for one in tensors}.values())


def test_it_does_not_grow_with_the_stack(stack_prior, stack_of) -> None:
    """Slices read when their turn comes, results that are kept elsewhere: catches problems, posteriors and draws of
    windows that are held until the end, each slice's worth more than its pixels."""
    drawn, missing = stack_of(12, seed=3), np.zeros((24, 24), dtype=bool)
    missing[7:17, 8:18] = True
    read: list[int] = []

    def image(number: int) -> np.ndarray:
        read.append(number)
        return drawn[number % 12].copy()

    slices = tuple(ObservedSlice(Later(partial(image, i)), partial(Mask, missing), (1.5, 1.5)) for i in range(COUNT))
    job = Job(
        slices, stack_prior, preset("default").but(fit_pose=False, steps=1), samples=2, device="cpu",
        stack=Stack(tuple(map(float, range(COUNT)))),
    )  # fmt: skip
    seen: dict[int, tuple[int, int]] = {}
    ahead: list[int] = []

    def keep(number: int, result):
        if number in (FEW, MANY):
            seen[number] = held()
        if number:  # before the first one the stack is placed by a slice in its middle
            ahead.append(max(read, default=0) - number)
        read.clear()
        return None

    tracemalloc.start()
    try:
        run(job, keep=keep)
    finally:
        tracemalloc.stop()
    assert max(ahead) < 24, "read long before it is needed"
    for what, few, many in zip(("arrays", "tensors"), seen[FEW], seen[MANY], strict=True):
        assert many - few < (MANY - FEW) * A_SLICE / 2, (what, few, many)
