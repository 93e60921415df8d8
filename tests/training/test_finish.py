"""The finish on slices of 64 pixels with ten components: its inputs, a step, and going on."""

import pytest
import torch
import torch.nn.functional as F

from napari_brgm.priors.latents import LatentStatistics
from napari_brgm.priors.linear_model import LinearModel
from napari_brgm.training import finish
from napari_brgm.training.finish import FinishSettings, FinishTraining
from napari_brgm.training.finish_inputs import FinishInputs, Shares, back_projected, feathered


def _slices(n: int = 90) -> torch.Tensor:
    """Discs with stripes, (n, 1, 64, 64) in [-1, 1]."""
    generator = torch.Generator().manual_seed(2)
    at = torch.linspace(-1, 1, 64)
    row, column = torch.meshgrid(at, at, indexing="ij")
    shape = torch.rand(n, 3, 1, 1, generator=generator)
    inside = (row**2 + (column * (1 + 0.3 * shape[:, 0])) ** 2 < 0.7).float()
    fine = torch.randn(n, 64, 64, generator=generator) * 0.08
    return (inside * (0.5 + 0.5 * shape[:, 1] + 0.3 * shape[:, 2] * row + fine) - 1).clamp(-1, 1)[:, None]


@pytest.fixture(scope="module")
def inputs() -> FinishInputs:
    images = _slices()
    model = LinearModel.fit(images, 10, grid=32)
    subjects = torch.arange(len(images)) // 3
    return FinishInputs(images, subjects, model, LatentStatistics.standard(10), sigma=30.0, mirror=False)


SMALL = FinishSettings(
    images=256, batch=32, widths=(4, 6, 8, 8), critic=(6, 8, 8), averaged=64, precision=torch.float32
)


def test_draws_in_holes_keep_what_was_measured_and_come_from_models_of_other_subjects(inputs):
    x, hole, real = inputs.in_holes(12)
    assert x.shape == hole.shape == real.shape == (12, 1, 64, 64)
    assert torch.equal(x[hole == 0], real[hole == 0])
    assert 0.02 < float(hole.mean()) < 0.9
    assert (x - real)[hole == 1].abs().max() > 0.05
    for fold, rows in enumerate(inputs.rows_of):
        assert set(inputs.subjects[rows].tolist()).isdisjoint(inputs.subjects[inputs.fold_of != fold].tolist())


def test_draws_of_coarse_slices_have_their_averages(inputs):
    x, real, factor = inputs.from_coarse(8)
    assert torch.allclose(F.avg_pool2d(x, factor), F.avg_pool2d(real, factor), atol=1e-5)


def test_projections_are_near_their_slices(inputs):
    x, real = inputs.projections(16)
    assert (x - real).square().mean() < 0.5 * (real - real.mean(dim=0)).square().mean()


def test_draws_of_the_density_have_the_spread_of_the_slices(inputs):
    drawn, smooth = inputs.draws(400), inputs.model.synthesize(inputs.model.encode(inputs.images)[:, None])
    assert float(drawn.std(dim=0).mean() / smooth.std(dim=0).mean()) == pytest.approx(1, abs=0.25)


def test_a_batch_has_its_shares(inputs):
    shares = Shares().scaled(32)
    batch = inputs.batch(shares)
    assert len(batch.x) == shares.total == 32
    assert min(shares.holes, shares.coarse, shares.projections) >= 4
    assert bool((batch.hole[: shares.draws] == 1).all())


def test_feathering_carries_an_offset_into_the_hole():
    real, known = torch.full((1, 1, 64, 64), 0.4), torch.ones(1, 1, 64, 64)
    known[..., 24:40, 24:40] = 0
    found = feathered(torch.zeros(1, 1, 64, 64), real, known)
    assert torch.equal(found[known > 0], real[known > 0])
    assert found[0, 0, 24, 32] > 0.15 > found[0, 0, 32, 32]


def test_training_keeps_what_is_measured_and_goes_on_where_it_was(inputs, monkeypatch):
    monkeypatch.setattr(finish, "_AHEAD", 1)
    training = FinishTraining(inputs, SMALL)
    before = [p.clone() for p in training.network.parameters()]
    for _ in range(3):
        training.step()
    assert training.shown == 96
    assert all(torch.isfinite(value) for value in training.figures.values())
    moved = [not torch.equal(a, b) for a, b in zip(before, training.network.parameters(), strict=True)]
    assert all(moved)

    batch, _, place = training._shifted(inputs.batch(training.shares), inputs.real(4))
    with torch.no_grad():
        drawn = training._drawn(batch, place)
    shares = training.shares
    holes = slice(shares.draws, shares.draws + shares.holes)
    measured = batch.hole[holes] == 0
    assert torch.equal(drawn[holes][measured], batch.known[holes][measured])
    coarse = slice(holes.stop, holes.stop + shares.coarse)
    wanted = back_projected(drawn[coarse], batch.known[coarse], batch.factor)
    assert torch.allclose(drawn[coarse], wanted, atol=1e-5)

    other = FinishTraining(inputs, SMALL)
    other.load(training.state())
    assert other.shown == 96
    x = inputs.draws(4)
    assert torch.equal(training.finished(x, torch.ones_like(x)), other.finished(x, torch.ones_like(x)))


def test_rates_fall_in_the_last_third(inputs):
    training = FinishTraining(inputs, SMALL)
    found = []
    for shown in (0, 170, 214, 256):
        training.shown, training.steps = shown, 10_000
        training._set_rates()
        found.append(training.optimiser.param_groups[0]["lr"] / SMALL.rate)
    assert found[:2] == [1, 1]
    assert found[2] == pytest.approx(0.5, abs=0.02)
    assert found[3] == pytest.approx(0, abs=1e-6)
