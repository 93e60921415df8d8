"""The lcm recipe on a handful of drawn images: it learns, keeps phi in its box, and goes on bit for bit."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
import torch

from napari_brgm.datasets import Framing, SliceSet
from napari_brgm.errors import BrgmError, InputError
from napari_brgm.priors.prior import PriorInfo
from napari_brgm.training import lcm
from napari_brgm.training.checkpoint import save_checkpoint
from napari_brgm.training.lcm import train_lcm
from napari_brgm.training.lcm_settings import LcmSettings

TINY = LcmSettings(
    trunk=(6, 8), fine=(4,), encoder_widths=(3, 4, 5, 6, 6), components=4, images=24, batch=4,
    warmup_images=8, report_images=8, learning_rate=5e-3,
)  # fmt: skip
SIZES = {"vector": 6, "encoder": 6}
KINDS = ("convolutional", "free", "vector", "encoder")


def quiet(_line: str) -> None:
    """Say nothing."""


@pytest.fixture(scope="module")
def slices() -> SliceSet:
    """Ten ellipses of 64 px, of which a batch of four leaves two out each round."""
    random = np.random.default_rng(0)
    row, column = np.mgrid[:64, :64] - 31.5
    images = np.zeros((10, 1, 64, 64), np.uint8)
    for i in range(10):
        inside = (row / random.uniform(18, 28)) ** 2 + (column / random.uniform(14, 24)) ** 2 < 1
        images[i, 0] = inside * random.uniform(100, 220)
    return SliceSet(images, np.arange(10), tuple(map(str, range(10))), tuple(map(str, range(10))), Framing(64, 2.0))


def state(found) -> dict[str, torch.Tensor]:
    prior = found.prior
    own = {f"g.{k}": v for k, v in prior.generator.state_dict().items()}
    own |= {f"f.{k}": v for k, v in prior.latent_map.state_dict().items()}
    return own | {"mean": prior.latents.mean, "basis": prior.latents.basis, "rmse": torch.tensor(found.rmse)}


@pytest.mark.parametrize("kind", KINDS)
def test_it_goes_on_bit_for_bit(slices, tmp_path, kind):
    """Catches anything that a checkpoint forgets: moments, running means, the order of slices, the rates."""
    settings = replace(TINY, latents=kind, latent_size=SIZES.get(kind))
    whole = train_lcm(slices, settings, tmp_path / "whole", device="cpu", report=quiet)
    assert whole.finished and whole.shown == 24

    lines: list[str] = []
    for steps in (1, 1, 2):  # before the time is up; the clock is read at the start and before each of them
        clock = iter([0.0] * (1 + steps) + [1e9] * 9)
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(lcm.time, "monotonic", lambda clock=clock: next(clock))
            part = train_lcm(slices, settings, tmp_path / "parts", device="cpu", seconds=1.0, report=lines.append)
        assert not part.finished
    again = train_lcm(slices, settings, tmp_path / "parts", device="cpu", report=lines.append)
    assert [line for line in lines if "going on" in line] == [f"going on after {n} slices" for n in (4, 8, 16)]
    wanted, found = state(whole), state(again)
    assert wanted.keys() == found.keys() and again.finished
    for name, value in wanted.items():
        assert torch.equal(value, found[name]), name


@pytest.mark.parametrize("kind", KINDS)
def test_the_error_falls(slices, tmp_path, kind):
    settings = replace(TINY, latents=kind, latent_size=SIZES.get(kind), images=200, learning_rate=1e-2)
    lines: list[str] = []
    found = train_lcm(slices, settings, tmp_path, device="cpu", report=lines.append)
    began = [float(line.split("RMSE ")[1].split()[0]) for line in lines]
    assert found.rmse < 0.8 * began[0]  # a running mean, which is slow
    prior = found.prior
    with torch.no_grad():
        mean = prior.synthesize(prior.latents.mean.expand(1, 1, -1))
    truth = torch.from_numpy(slices.images.astype(np.float32)).mean(dim=0, keepdim=True) / 127.5 - 1
    assert (mean - truth).square().mean().sqrt() < 0.5 * (truth - truth.mean()).square().mean().sqrt() + 0.1
    assert prior.latents.rank <= 4 and len(prior.latents.mean) == prior.latent_map.size


def test_phi_stays_in_its_box_after_each_step(slices, tmp_path):
    """Looks at the table on disk after every step: catches a projection of the gradient alone, or none."""
    seen = []

    def look(shown: int, _total: int) -> None:
        table = np.load(tmp_path / "latents-values.npy", mmap_mode="r")
        weights = np.abs(table[:, : 9 * (2 * 8 + 8 * 16 + 16 * 32 + 32 * 64)])
        seen.append((float(weights.max()), float(np.abs(table[:, -64:]).max())))

    train_lcm(slices, replace(TINY, latent_rate=0.02), tmp_path, device="cpu", report=quiet, progress=look)
    assert len(seen) == 6
    assert all(weights <= np.float32(0.01) for weights, _ in seen)
    assert max(biases for _, biases in seen) > 0.01  # which are free


def test_images_learn_latents_of_their_own(slices, tmp_path):
    """Only the rows of a batch move, each by its own gradient; no slice comes twice in a round."""
    tables = [np.zeros((10, 6), np.float32)]  # where vectors start
    train_lcm(
        slices, replace(TINY, latents="vector", latent_size=6), tmp_path, device="cpu", report=quiet,
        progress=lambda _shown, _total: tables.append(np.load(tmp_path / "latents-values.npy")),
    )  # fmt: skip
    moved = [set(np.flatnonzero((new != old).any(axis=1))) for old, new in pairwise(tables)]
    assert [len(rows) for rows in moved] == [4] * 6
    assert not any(moved[i] & moved[i + 1] for i in (0, 2, 4))
    assert len(np.unique(tables[-1], axis=0)) == 10 and moved[0] != moved[2]


def test_an_images_step_does_not_depend_on_the_size_of_the_batch(slices, tmp_path):
    """Catches latents that learn slower in larger batches: with Adam's epsilon out of play, by the table's moments."""
    firsts = []
    for batch in (2, 5):
        settings = replace(TINY, latents="vector", latent_size=6, batch=batch, images=batch, learning_rate=1e-6)
        train_lcm(slices, settings, tmp_path / str(batch), device="cpu", report=quiet)
        firsts.append(np.abs(np.load(tmp_path / str(batch) / "latents-first.npy")).sum(axis=1))
    sizes = [first[first > 0].mean() for first in firsts]
    assert sizes[1] == pytest.approx(sizes[0], rel=0.8) and sizes[1] > 0.6 * sizes[0]


def test_colour(slices, tmp_path):
    colour = replace(
        slices, images=np.repeat(slices.images, 3, axis=1) // np.array([1, 2, 3])[:, None, None].astype("u1")
    )
    for kind in ("convolutional", "encoder"):
        found = train_lcm(
            colour, replace(TINY, latents=kind, latent_size=SIZES.get(kind), images=8), tmp_path / kind, device="cpu",
            report=quiet, info=PriorInfo("colour"),
        )  # fmt: skip
        assert found.prior.channels == 3 and found.prior.sample(2).shape == (2, 3, 64, 64)
        assert found.prior.info.name == "colour"


def test_what_may_change_when_going_on(slices, tmp_path):
    train_lcm(slices, TINY, tmp_path, device="cpu", report=quiet)
    longer = train_lcm(slices, replace(TINY, images=32, components=2), tmp_path, device="cpu", report=quiet)
    assert longer.shown == 32 and longer.prior.latents.rank == 2
    for changes in ({"batch": 2}, {"latents": "free"}, {"learning_rate": 1e-4}, {"seed": 1}):
        with pytest.raises(InputError, match=r"other settings|of other slices"):
            train_lcm(slices, replace(TINY, **changes), tmp_path, device="cpu", report=quiet)
    with pytest.raises(InputError, match="other slices"):
        train_lcm(slices.taking(np.arange(9)), TINY, tmp_path, device="cpu", report=quiet)
    save_checkpoint(tmp_path / "gan" / "checkpoint", {"nets": {}, "shown": 8})  # of another recipe
    with pytest.raises(InputError, match="holds no latents"):
        train_lcm(slices, TINY, tmp_path / "gan", device="cpu", report=quiet)
    with pytest.raises(InputError, match="other settings"):
        train_lcm(slices, replace(TINY, latents="encoder", latent_size=6), tmp_path / "gan", device="cpu", report=quiet)


def test_slices_that_do_not_fit_are_refused(slices, tmp_path):
    with pytest.raises(InputError, match="64 pixels a side where the network draws 128"):
        train_lcm(slices, replace(TINY, fine=(4, 3)), tmp_path, device="cpu", report=quiet)
    with pytest.raises(InputError, match="too few for batches of 6"):
        train_lcm(slices, replace(TINY, batch=6), tmp_path, device="cpu", report=quiet)
    assert not any(tmp_path.iterdir())


def test_a_training_that_diverges_says_so(slices, tmp_path):
    with pytest.raises(BrgmError, match="diverged"):
        train_lcm(
            slices, replace(TINY, latents="free", learning_rate=1e30, warmup_images=0), tmp_path, device="cpu",
            report=quiet,
        )  # fmt: skip


def test_samples_are_shown_on_the_way(slices, tmp_path):
    """And showing them changes nothing in what is trained."""
    shown = train_lcm(slices, replace(TINY, save_seconds=-1.0), tmp_path / "shown", device="cpu", report=quiet)
    assert (tmp_path / "shown" / "samples.png").stat().st_size > 100
    plain = train_lcm(slices, TINY, tmp_path / "plain", device="cpu", report=quiet)
    assert not (tmp_path / "plain" / "samples.png").exists()
    for key, value in state(plain).items():
        torch.testing.assert_close(state(shown)[key], value, rtol=0, atol=0)
