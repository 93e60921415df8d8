"""Training of supervised rivals: it learns, goes on after a cut as if there were none, opens training slices only."""

from __future__ import annotations

import json
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from PIL import Image

from napari_brgm.datasets import Framing
from napari_brgm.errors import InputError, WeightsError
from napari_brgm.evaluation.held_out import HeldOutSet
from napari_brgm.evaluation.supervised import role as roles
from napari_brgm.evaluation.supervised.denoise import denoised
from napari_brgm.evaluation.supervised.method import SupervisedNet
from napari_brgm.evaluation.supervised.role import ROLES
from napari_brgm.evaluation.supervised.weights import read_card, read_net
from napari_brgm.evaluation.tasks import tasks_of_size
from napari_brgm.tensor_file import read_tensors
from napari_brgm.training import supervised
from napari_brgm.training.supervised import SupervisedTraining
from napari_brgm.training.supervised_critic import RestorationCritic
from napari_brgm.training.supervised_state import SupervisedSettings, SupervisedState

SIZE = 32
TINY = tuple(replace(role, fold=4, filters=8, blocks=(1, 1)) for role in ROLES)
QUICK = SupervisedSettings(batch=4, rate=3e-3, warm_up=5, decay=0.9, filters=8, alone=2)


@pytest.fixture
def data(smooth_images, tmp_path):
    """Three training subjects, 24 slices; what should be their validation subjects is no image."""
    images = (127.5 * (smooth_images(24, SIZE)[:, 0].numpy() + 1)).round().astype(np.uint8)
    for number, image in enumerate(images):
        path = tmp_path / "data" / "brain" / "training" / f"subject-{number // 8}" / f"{number % 8}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(image).save(path)
    (tmp_path / "data" / "brain" / "validation").write_bytes(b"not to be opened")
    return tmp_path / "data"


@pytest.fixture
def train(data, monkeypatch, tmp_path):
    """``train(steps, names, out, **settings)``: train tiny networks; a step takes a second of a made-up processor."""
    tiny = HeldOutSet("tiny", "made up", "brain", "training", "validation", Framing(SIZE), (1.0, 1.0), ("mr",), ("",))
    monkeypatch.setattr(roles, "ROLES", TINY)
    monkeypatch.setattr(supervised, "ROLES", TINY)
    monkeypatch.setattr(supervised, "SETS", (tiny,))

    def run(steps, names=("inpaint-pixel",), out="out", set_name="tiny", **changes):
        clock = iter(range(10**6))
        monkeypatch.setattr(supervised, "time", SimpleNamespace(process_time=lambda: float(next(clock))))
        training = SupervisedTraining(tmp_path / out, set_name, steps / 60, replace(QUICK, **changes))
        training.run(data, names, lambda *_: None)
        return tmp_path / out

    return run


@pytest.mark.parametrize("name", [role.name for role in ROLES])
def test_a_cut_training_goes_on_as_though_it_were_not(train, name):
    source = roles.role_of(name).begins_with
    names = (source, name) if source else (name,)
    cut = train(3, names, "cut")
    first = read_card(cut / f"{name}.safetensors")
    train(6, names[-1:], "cut")
    straight = train(6, names[-1:], "straight") if not source else None
    if source:  # which begins with the same weights
        train(3, (source,), "straight")
        straight = train(6, (name,), "straight")
    (mine, _), (other, _) = (read_tensors(out / f"{name}.safetensors") for out in (cut, straight))
    assert mine.keys() == other.keys() and all((mine[key] == other[key]).all() for key in mine)
    last = read_card(cut / f"{name}.safetensors")
    assert (first.images, last.images, last.seconds) == (12, 24, 6.0)
    assert (last.before, last.slices, last.subjects) == (3.0 if source else 0.0, 24, 3)


def test_what_it_makes_restores_slices(train, data):
    out = train(2, [role.name for role in TINY])
    truth = np.full((1, SIZE, SIZE), 99, np.float32)
    for role in TINY:
        method = SupervisedNet(out / f"{role.name}.safetensors")
        solved = [task for task in tasks_of_size(SIZE) if method.solves(task)]
        assert len(solved) == {"hole": 7, "low-res": 3, "noise": 0}[role.kind]
        for task in solved:
            found = method.restore(task.observe(truth)[0], task, seed=0)
            assert found.estimate.shape == (SIZE, SIZE) and np.isfinite(found.estimate).all()
        told = json.loads((out / f"{role.name}.json").read_text())
        assert (told["images"], told["set_name"], told["settings"]["batch"]) == (8, "tiny", 4)


@pytest.mark.parametrize("role", TINY[:2], ids=lambda role: role.name)
def test_it_learns_what_a_first_guess_cannot_know(role):
    noise = np.random.default_rng(0).integers(0, 2, (2, 1, SIZE, SIZE)) * 200  # which no interpolation brings back
    flat = np.stack([np.full((1, SIZE, SIZE), level) for level in (30, 90, 150, 210)])  # of which holes get the mean
    images = (noise if role.kind == "low-res" else flat).astype(np.uint8)
    state = SupervisedState(role, SimpleNamespace(images=images, white=255), replace(QUICK, rate=1e-2))
    for _ in range(6):
        for _ in range(10):
            state.step()
        state.log()
    assert state.losses[-1][1] < 0.75 * state.losses[0][1]
    assert state.losses[-1][0] == 60 * 4


def test_the_denoiser_learns_what_a_wiener_filter_cannot_know():
    """That there is one round spot somewhere."""
    random = torch.Generator().manual_seed(0)
    y, x = torch.meshgrid(torch.linspace(-1, 1, SIZE), torch.linspace(-1, 1, SIZE), indexing="ij")
    at = torch.rand(24, 2, generator=random) - 0.5
    spots = torch.stack([torch.exp(-10 * ((x - column).square() + (y - row).square())) for row, column in at])[:, None]
    images = (255 * spots).round().to(torch.uint8).numpy()
    settings = replace(QUICK, batch=8, rate=1e-2)
    state = SupervisedState(replace(TINY[4], fold=2), SimpleNamespace(images=images, white=255), settings)
    noise = torch.randn(spots.shape, generator=random)

    def error() -> float:
        with torch.no_grad():
            found = denoised(state.net, spots + 0.3 * noise, torch.full((24, 1, 1, 1), 0.3))
        return float((found - spots).square().mean())

    before = error()
    for _ in range(60):
        state.step()
    assert error() < 0.5 * before


def test_the_adversarial_ones_follow_their_critic_when_it_has_learnt(smooth_images):
    images = (127.5 * (smooth_images(24, SIZE).numpy() + 1)).round().astype(np.uint8)
    ends = {}
    for steps in (2, 3):
        for pull in (0.0, 0.5):
            state = SupervisedState(TINY[2], SimpleNamespace(images=images, white=255), replace(QUICK, pull=pull))
            before = [p.clone() for p in state.critic.net.parameters()]
            for _ in range(steps):
                state.step()
            assert any((p != q).any() for p, q in zip(before, state.critic.net.parameters(), strict=True))
            assert 0 < state.log()[2] < 1
            ends[steps, pull] = state.net.state_dict()
    assert all((ends[2, 0.0][key] == ends[2, 0.5][key]).all() for key in ends[2, 0.0])  # it learns alone
    assert any((ends[3, 0.0][key] != ends[3, 0.5][key]).any() for key in ends[3, 0.0])


def test_the_critic_tells_what_it_was_shown_apart(smooth_images):
    truth = 0.5 * (smooth_images(8, SIZE) + 1)
    drawn = truth + 0.3 * torch.rand(truth.shape, generator=torch.Generator().manual_seed(0))
    hint = torch.zeros_like(truth)
    torch.manual_seed(0)
    critic = RestorationCritic(8, 1e-2)
    first = critic.learn(drawn, truth, hint, (0, 0))
    for step in range(40):
        last = critic.learn(drawn, truth, hint, (step % 8, 3))
    assert last < 0.6 * first
    x = drawn.clone().requires_grad_(True)
    moved = drawn - 20 * critic.pull(x, x, hint, (2, 5))
    with torch.no_grad():
        before, after = (critic.net(torch.cat([image, hint], 1))[-1].mean() for image in (drawn, moved))
    assert after > before  # nearer to what it takes for true


def test_refusals_are_one_sentence_and_lose_nothing(train, tmp_path):
    with pytest.raises(InputError, match=r"inpaint-adversarial begins with the weights of inpaint-pixel"):
        train(1, ("inpaint-adversarial",), "none")
    with pytest.raises(InputError, match="no network is called 'nobody'"):
        train(1, ("nobody",), "none")
    with pytest.raises(InputError, match="no set is called 'moon-128'"):
        train(1, set_name="moon-128")
    assert not (tmp_path / "none").exists()
    out = train(2)
    kept = (out / "inpaint-pixel.safetensors").read_bytes()
    with pytest.raises(InputError, match="is of another seed"):
        train(4, seed=1)
    (out / "sr-pixel.safetensors").write_bytes(kept)
    with pytest.raises(InputError, match=r"sr-pixel\.safetensors holds inpaint-pixel of tiny"):
        train(4, ("sr-adversarial",))
    train(4, pull=9.0)  # which L1 alone does not know
    part = next((out / "inpaint-pixel-work" / "checkpoint").glob("*.safetensors"))
    part.write_bytes(part.read_bytes()[:-1])
    with pytest.raises(WeightsError, match="is not as it was written"):
        train(6)
    assert read_net(out / "inpaint-pixel.safetensors")[1].images == 16
