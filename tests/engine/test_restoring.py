"""A slice on its way: who cancels is heard soon, the way down to the generator is short, and nothing large is made."""

from __future__ import annotations

import sys
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import torch

import napari_brgm
from napari_brgm.corruptions import Blur, Compose, Downsample, Frame, Mask
from napari_brgm.corruptions.separable import Separable
from napari_brgm.engine import draws as drawing
from napari_brgm.engine import restoring
from napari_brgm.engine.alignment import Alignment
from napari_brgm.engine.restore import restore
from napari_brgm.errors import Cancelled
from napari_brgm.inference import step
from napari_brgm.priors import linear_model
from napari_brgm.priors.parts import Parts
from napari_brgm.priors.residual_field import ResidualField
from napari_brgm.priors.stylegan2_prior import StyleGAN2Prior
from napari_brgm.settings import InferenceSettings, preset

if TYPE_CHECKING:
    from collections.abc import Callable

# ---- how soon a person who cancels is heard

SYNTHESIS, PRODUCT, MAPPING = 0.1, 0.05, 0.02  # seconds of the clock below
SOON = 0.5


class Clock:
    """Time that passes with the work that is done: syntheses, products with a covariance, images on native pixels."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now, self.patch = 1000.0, monkeypatch
        monkeypatch.setattr(step.time, "monotonic", lambda: self.now)
        monkeypatch.setattr(step, "_SILENCE", 0.25)
        self.takes(StyleGAN2Prior, "synthesize", SYNTHESIS)
        self.takes(ResidualField, "covariance", PRODUCT)
        for action in ("A", "A_adjoint"):
            self.takes(Frame, action, MAPPING)

    def takes(self, owner: type, name: str, seconds: float) -> None:
        plain = getattr(owner, name)

        def timed(*arguments: Any, **options: Any) -> Any:
            self.now += seconds
            return plain(*arguments, **options)

        self.patch.setattr(owner, name, timed)


@pytest.fixture
def rough_prior(random_stylegan2) -> StyleGAN2Prior:
    """A curved prior with a model of what it cannot draw, so that draws are kriged."""
    lag = torch.fft.fftfreq(32) * 32
    field = ResidualField(torch.full((32, 32), 20.0), torch.exp(-(lag[:, None].square() + lag[None].square()) / 8))
    prior = random_stylegan2
    return StyleGAN2Prior(
        prior.synthesis, prior.latents, prior.info, mapping=prior.mapping, parts=Parts(residual=field)
    )


def long_run(prior: StyleGAN2Prior, method: str, tell: Callable[[Any], Any]) -> None:
    """44 x 40 pixels of 0.8 mm, half of them hidden; 40 draws that are finished one by one."""
    image = np.pad(((prior.sample(1, seed=3)[0, 0].numpy() + 1) * 127.5)[:30, :30], ((7, 7), (5, 5)))
    missing = np.zeros(image.shape, bool)
    missing[10:30, 8:30] = True
    settings = preset("unaided").but(steps=10, vi_steps=6, tolerance=None)
    restore(
        image, Mask(missing), prior, method=method, samples=40, spacing=(0.8, 0.8), noise_sigma=2.0, settings=settings,
        callback=tell,
    )  # fmt: skip


def gaps(run: Callable[[Callable[[Any], Any]], Any], clock: Clock) -> list[tuple[float, str]]:
    """Seconds of work between two questions, and the step before them, the longest first."""
    asked = [(clock.now, "start")]
    run(lambda told: asked.append((clock.now, told.phase)))
    asked.append((clock.now, "end"))
    return sorted(((later - sooner, phase) for (sooner, phase), (later, _) in pairwise(asked)), reverse=True)


@pytest.mark.parametrize("method", ["map", "laplace", "vi"])
def test_somebody_is_asked_every_half_second_of_work(rough_prior, monkeypatch, method):
    """Through MAP, Laplace, VI, drawing, kriging and finishing; catches any of them that goes on by itself."""
    monkeypatch.setattr(drawing, "_PIXELS", 1)
    clock = Clock(monkeypatch)
    found = gaps(lambda tell: long_run(rough_prior, method, tell), clock)
    assert found[0][0] <= SOON, found[0]
    assert sum(gap for gap, _ in found) > 3.5  # there was work
    assert (
        sum(gap for gap, phase in found if phase == "samples") > 2
    )  # after five batches, the last one again and again


@pytest.mark.parametrize("sigma", [None, 40.0])
def test_blurs_that_are_undone_step_by_step_are_asked_too(random_stylegan2, monkeypatch, sigma):
    """The pseudo-inverse of a composition takes hundreds of products for each draw; with known noise even more."""
    clock = Clock(monkeypatch)
    for action in ("A", "A_adjoint"):
        clock.takes(Separable, action, 0.01)
    f = Compose(Blur(2.0), Downsample(2))
    image = f.A((random_stylegan2.sample(1, seed=3) + 1) * 127.5)[0, 0].numpy()

    def run(tell: Callable[[Any], Any]) -> None:
        settings = preset("unaided").but(steps=2)
        restore(image, f, random_stylegan2, samples=2, noise_sigma=sigma, settings=settings, callback=tell)

    found = gaps(run, clock)
    assert found[0][0] <= SOON, found[:3]
    assert sum(gap for gap, _ in found) > 4


def test_many_components_and_many_draws_are_asked_too(linear_prior, monkeypatch):
    """Before the first step, of a linear start, and after the last one, of draws that are scaled."""
    monkeypatch.setattr(linear_model, "_MOST", 1)
    clock = Clock(monkeypatch)
    clock.takes(Frame, "A", 0.1)
    clock.takes(Downsample, "A_dagger", 0.1)
    monkeypatch.setattr(restoring, "residual_scale", lambda *_: 1.5)
    f = Downsample(2)
    image = ((linear_prior.sample(1, seed=3)[0, 0].numpy() + 1) * 127.5).reshape(12, 2, 12, 2).mean(axis=(1, 3))

    def run(tell: Callable[[Any], Any]) -> None:
        settings = preset("default").but(steps=2, fit_pose=False)
        restore(image, f, linear_prior, samples=24, spacing=(2.7, 2.7), settings=settings, callback=tell)

    found = gaps(run, clock)
    assert found[0][0] <= SOON, found[:4]
    assert sum(gap for gap, _ in found) > 1.2 + 2.4


@pytest.mark.parametrize("when", [0.3, 1.5, 3.0, 4.5])
def test_a_person_who_cancels_is_heard_within_half_a_second(rough_prior, monkeypatch, when):
    """In the middle of MAP, of drawing, of kriging and of what comes after it; and nothing is done any more."""
    monkeypatch.setattr(drawing, "_PIXELS", 1)
    clock = Clock(monkeypatch)
    event = clock.now + when

    def tell(told: step.Step) -> None:
        if clock.now >= event:
            raise Cancelled("enough")

    with pytest.raises(Cancelled, match="enough"):
        long_run(rough_prior, "map", tell)
    assert event <= clock.now <= event + SOON


def test_silence_repeats_the_last_step_and_no_other(rough_prior, monkeypatch):
    """Numbers never go back, and a repeated step is the same: a bar that shows them stands still."""
    Clock(monkeypatch)
    told: list[step.Step] = []
    long_run(rough_prior, "map", told.append)
    numbers = [one.iteration for one in told]
    assert numbers == sorted(numbers) and set(numbers) - {0} == set(range(1, told[-1].total + 1))
    assert len(numbers) > len(set(numbers))
    shares = [one.done for one in told]
    assert shares == sorted(shares) and shares[-1] == 1


# ---- how deep the stack is


def depth_below(root: str) -> int:
    """Frames of files in a folder, of the calls above the one that asks."""
    frame, count = sys._getframe(2), 0
    while frame is not None:
        count += frame.f_code.co_filename.startswith(root)
        frame = frame.f_back
    return count


QUICK = InferenceSettings(steps=3, vi_steps=2, optimiser="lbfgs", start="mean")


@pytest.mark.parametrize(
    ("method", "settings"),
    [
        ("map", QUICK), ("map", QUICK.but(optimiser="adam")), ("map", QUICK.but(optimiser="gauss-newton")),
        ("map", QUICK.but(starts=3, steps=8, coarse_to_fine=True)), ("map", QUICK.but(start="encoder")),
        ("map", QUICK.but(refine_steps=2)), ("laplace", QUICK), ("vi", QUICK.but(vi_rank=2)),
        ("map", preset("untrained").but(steps=3, window=2)),
    ],
    ids=["map", "adam", "gauss-newton", "starts", "encoder", "tune", "laplace", "vi", "ensemble"],
)  # fmt: skip
def test_the_generator_is_ten_calls_below_the_one_who_asks(rough_prior, monkeypatch, method, settings):
    """A traceback, or a debugger, shows one way down; catches layers that only hand on."""
    root = str(Path(napari_brgm.__file__).parent)
    depths: list[int] = []
    plain = StyleGAN2Prior.synthesize

    def counted(*arguments: Any, **options: Any) -> torch.Tensor:
        depths.append(depth_below(root))
        return plain(*arguments, **options)

    image = ((rough_prior.sample(1, seed=3)[0, 0].numpy() + 1) * 127.5)[:30, :28]
    missing = np.zeros(image.shape, bool)
    missing[10:20, 8:16] = True
    monkeypatch.setattr(StyleGAN2Prior, "synthesize", counted)
    restore(image, Mask(missing), rough_prior, method=method, samples=2, settings=settings)
    assert len(depths) > 3 and max(depths) <= 10


# ---- how much memory a native grid takes


@pytest.mark.parametrize("kind", ["mask", "downsample"])
def test_the_components_are_never_all_on_native_pixels(brain_prior, monkeypatch, kind):
    """600 x 500 pixels and more than a thousand components would be 1.2 GB.

    Inference sees blocks of a mask's pixels, and no fine grid of super-resolution: nothing but results gets there.
    """
    asked: list[tuple[int, ...]] = []

    def spread(frame: Frame, x: torch.Tensor) -> torch.Tensor:
        asked.append((len(x), x.shape[1], *frame.shape))
        return x.mean(dim=(2, 3), keepdim=True).expand(-1, -1, *frame.shape)

    monkeypatch.setattr(Frame, "A", spread)
    image = np.random.default_rng(0).uniform(0, 255, (600, 500))
    missing = np.zeros((600, 500), bool)
    missing[200:300, 150:260] = True
    f, alignment = Mask(missing), Alignment(0, 0, 1, 0, 0, 255)
    if kind == "downsample":
        f, image = Downsample(5), image[::5, ::5]
    spacing = (0.3, 0.3) if kind == "mask" else (1.5, 1.5)
    result = restore(
        image, f, brain_prior, samples=20, spacing=spacing, alignment=alignment,
        settings=preset("default").but(steps=1, data_consistency=False),
    )  # fmt: skip
    assert result.shape == (600, 500)
    if kind == "mask":
        assert not asked
    else:
        assert {shape[2:] for shape in asked} == {(600, 500)} and sum(shape[0] for shape in asked) <= 20 + 3
