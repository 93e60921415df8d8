"""The released objective, term by term, against arrays that another program worked out (fixtures/reference_terms)."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from napari_brgm.corruptions import Downsample, Identity, Mask
from napari_brgm.likelihood import Likelihood, from_grey, to_grey
from napari_brgm.observation import all_measured
from napari_brgm.posterior import Posterior
from napari_brgm.priors.latents import LatentStatistics
from napari_brgm.released import for_factor, released_terms, theta_term
from napari_brgm.settings import preset

FIXTURE = Path(__file__).parent / "fixtures" / "reference_terms.safetensors"
SETTINGS = preset("reference")


@pytest.fixture(scope="module")
def oracle() -> dict[str, torch.Tensor]:
    return load_file(FIXTURE)


class Told:
    """Features that the fixture holds: of x for images that are x, else of y."""

    name, size, least = "told", None, 1

    def __init__(self, oracle: dict[str, torch.Tensor]) -> None:
        self.x = oracle["x"]
        self.layers = {which: [oracle[f"features_{which}_{i}"] for i in range(3)] for which in "xy"}

    def __call__(self, images: torch.Tensor) -> list[torch.Tensor]:
        which = "x" if torch.allclose(to_grey(images), self.x, atol=1e-3) else "y"
        return self.layers[which]


def terms_of(oracle, corruption, y, features=None, ws=None):
    statistics = LatentStatistics.of(oracle["w_samples"])
    likelihood = Likelihood(all_measured(corruption, y, 5.0), y, features)
    ws = oracle["ws"] if ws is None else ws
    return released_terms(SETTINGS, likelihood, statistics, ws, from_grey(oracle["x"]))


def test_statistics_of_w(oracle):
    """The standard deviation is that of the draws themselves, and s the root of the summed variance."""
    found = LatentStatistics.of(oracle["w_samples"])
    torch.testing.assert_close(found.mean, oracle["w_bar"], rtol=1e-5, atol=1e-6)
    torch.testing.assert_close(found.std, oracle["sd"], rtol=1e-5, atol=0)
    torch.testing.assert_close(found.std.square().sum().sqrt(), oracle["s"], rtol=1e-5, atol=0)


def test_pixels_of_a_hole(oracle):
    hidden = oracle["hidden"].bool()
    f = Mask(hidden)
    terms = terms_of(oracle, f, f.A(oracle["y_truth"]))
    assert float(terms["pixel"].mean()) == pytest.approx(float(oracle["pixel_inpaint"]), rel=1e-5)


def test_low_resolution_is_taken_at_points(oracle):
    f = Downsample(8, kernel="bicubic_points")
    torch.testing.assert_close(f.A(oracle["y_truth"]), oracle["y_x8"], rtol=1e-5, atol=1e-3)
    terms = terms_of(oracle, f, oracle["y_x8"])
    assert float(terms["pixel"].mean()) == pytest.approx(float(oracle["pixel_x8"]), rel=1e-5)


def test_latents(oracle):
    terms = terms_of(oracle, Identity(), oracle["y_truth"])
    assert float(terms["w"].mean()) == pytest.approx(float(oracle["w_term"]), rel=1e-5)
    assert float(terms["colinear"][0]) == pytest.approx(float(oracle["colinear_term"]), rel=1e-5)
    alone = terms_of(oracle, Identity(), oracle["y_truth"], ws=oracle["ws"].flip(0))
    assert float(alone["colinear"][1]) == pytest.approx(float(oracle["colinear_term"]), rel=1e-5)  # each has its own


def test_features_are_one_vector(oracle):
    """A mean a layer, summed, would be 9 to 17 times as much."""
    terms = terms_of(oracle, Identity(), oracle["y_truth"], Told(oracle))
    assert float(terms["perceptual"].mean()) == pytest.approx(float(oracle["perceptual_term"]), rel=1e-5)


def test_the_spread_of_vi(oracle):
    assert float(theta_term(oracle["sigma"][0], 0.1, 0.95)) == pytest.approx(float(oracle["theta_term"]), rel=1e-5)


def test_colinear_weight_of_coarse_pixels():
    assert for_factor(SETTINGS, 16.0).lambda_colinear == 0.1 and for_factor(SETTINGS, 32.0).lambda_colinear == 1.0


def test_the_posterior_gives_these_terms(random_stylegan2):
    """Weighted, by name, for each image of a batch."""
    y = to_grey(random_stylegan2.sample(1, seed=3))
    likelihood = Likelihood(all_measured(Identity(), y, 5.0), y)
    p = Posterior(random_stylegan2, likelihood, SETTINGS)
    v = p.start(3) + 0.5 * p.start_std() * torch.randn(3, *p.shape, generator=torch.Generator().manual_seed(0))
    terms, images = p.terms(v)
    wanted = released_terms(SETTINGS, likelihood, random_stylegan2.latents, p.latents(v), images)
    assert set(terms) == set(wanted) == {"pixel", "w", "colinear"}
    for name, term in terms.items():
        assert torch.equal(term, wanted[name]) and term.shape == (3,)
