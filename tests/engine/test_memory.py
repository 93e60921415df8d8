"""A full GPU: fewer images at a time, then the CPU, each said; the device itself is the CPU here."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import torch

from napari_brgm.corruptions import Mask
from napari_brgm.engine import run as module
from napari_brgm.engine.restore import restore
from napari_brgm.errors import DeviceError
from napari_brgm.priors.residual_field import ResidualField

if TYPE_CHECKING:
    from napari_brgm.priors.linear_gaussian import LinearGaussian


@dataclass
class SmallGpu:
    """Draws like ``prior``, on a 'GPU' that holds ``room`` images; ``moves`` to a device are counted."""

    prior: LinearGaussian
    room: int
    moves: int = 0
    seen: list[int] = field(default_factory=list)
    on_gpu: bool = True

    def __getattr__(self, name: str) -> Any:
        return getattr(self.prior, name)

    def for_slice(self, shape: tuple[int, int], channels: int) -> SmallGpu:
        return self

    def to(self, device: torch.device) -> SmallGpu:
        self.moves += 1
        self.on_gpu = torch.device(device).type != "cpu"
        return self

    def synthesize(self, ws: torch.Tensor, noise: str = "none") -> torch.Tensor:
        self.seen.append(len(ws))
        if self.on_gpu and len(ws) > self.room:
            raise torch.cuda.OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 MiB")
        return self.prior.synthesize(ws)


@pytest.fixture(autouse=True)
def a_gpu(monkeypatch):
    monkeypatch.setattr(module, "pick_device", lambda name: torch.device("meta"))  # nothing is put there


def run(prior, scan, hole, quick, **options):
    # without a residual field: conjugate gradients stop for a batch at a time, and differ in the last digits
    return restore(scan, Mask(hole), prior, samples=9, settings=quick.but(adapt_residual=False), **options)


@pytest.mark.parametrize(("room", "wanted"), [(8, None), (5, 4), (3, 2), (1, 1)])
def test_a_full_gpu_draws_fewer_images_at_a_time(linear_prior, scan, hole, quick, room, wanted):
    """The same result, on the same device, and said; catches a run that goes to the CPU at once."""
    plain = run(SmallGpu(linear_prior, 99), scan, hole, quick, device="cuda")
    prior = SmallGpu(linear_prior, room)
    result = run(prior, scan, hole, quick, device="cuda")
    np.testing.assert_allclose(result.estimate, plain.estimate, atol=1e-3)
    np.testing.assert_allclose(result.samples, plain.samples, atol=1e-2)
    notes = [note for note in result.provenance["notes"] if "memory" in note]
    assert prior.moves == 1 and result.provenance["device"] == "meta"  # it stays where it is, whatever the batch
    if wanted is None:
        assert not notes
    else:
        assert len(notes) == 1 and f"at most {wanted} of 8 images" in notes[0]
        assert max(prior.seen[-5:]) <= wanted


def test_draws_with_a_residual_field_do_not_depend_on_the_batch(linear_prior, scan, hole, quick, with_parts):
    """Catches random numbers that are drawn batch by batch, or centred over a batch and not over all draws."""
    correlation = torch.zeros(24, 24)
    correlation[0, 0], correlation[0, 1], correlation[0, -1] = 1, 0.4, 0.4
    prior = with_parts(linear_prior, residual=ResidualField(torch.full((24, 24), 20.0), correlation))
    whole, parts = (run(SmallGpu(prior, room), scan, hole, quick) for room in (8, 2))
    np.testing.assert_allclose(parts.samples, whole.samples, atol=0.01 * np.ptp(scan))
    np.testing.assert_allclose(parts.variance, whole.variance, rtol=0.05, atol=1e-3)


def test_a_variational_fit_takes_fewer_samples_a_step(linear_prior, scan, hole, quick):
    result = run(SmallGpu(linear_prior, 4), scan, hole, quick, method="vi")
    assert result.provenance["settings"]["vi_samples_per_step"] == 3
    assert any("at most 4 of 8 images" in note for note in result.provenance["notes"])
    least = run(SmallGpu(linear_prior, 1), scan, hole, quick, method="vi")
    assert least.provenance["settings"]["vi_samples_per_step"] == 1 and np.isfinite(least.estimate).all()


def test_where_one_image_is_too_many_the_cpu_takes_over(linear_prior, scan, hole, quick):
    prior = SmallGpu(linear_prior, 0)
    result = run(prior, scan, hole, quick)
    plain = run(SmallGpu(linear_prior, 99), scan, hole, quick)
    np.testing.assert_allclose(result.samples, plain.samples, atol=1e-3)
    assert result.provenance["device"] == "cpu" and prior.moves == 2 and max(prior.seen) == 8
    notes = [note for note in result.provenance["notes"] if "memory" in note]
    assert len(notes) == 2 and "at most 1 of 8" in notes[0] and "CPU" in notes[1]


def test_a_full_gpu_that_was_asked_for_is_an_error(linear_prior, scan, hole, quick):
    with pytest.raises(DeviceError, match="out of memory; choose device 'cpu'") as caught:
        run(SmallGpu(linear_prior, 0), scan, hole, quick, device="cuda")
    assert "\n" not in str(caught.value) and caught.value.__cause__ is None


def test_other_errors_are_not_swallowed(linear_prior, scan, hole, quick, monkeypatch):
    prior = SmallGpu(linear_prior, 8)

    def broken(*_: object, **__: object) -> None:
        raise RuntimeError(says)

    monkeypatch.setattr(prior, "synthesize", broken)
    says = "a bug"
    with pytest.raises(RuntimeError, match="a bug"):
        run(prior, scan, hole, quick)
    says = "DefaultCPUAllocator: not enough memory: you tried to allocate 99 bytes."
    with pytest.raises(DeviceError, match="fewer samples"):
        run(prior, scan, hole, quick)
