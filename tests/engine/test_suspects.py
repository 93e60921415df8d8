"""What a prior cannot explain: artefacts that are put into slices it draws, and nothing where there are none."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from napari_brgm.engine.suspects import suspects
from napari_brgm.errors import InputError
from napari_brgm.evaluation.suspects import ARTEFACTS
from napari_brgm.likelihood import to_grey


@pytest.fixture(scope="module")
def drawn(brain_prior) -> np.ndarray:
    return to_grey(brain_prior.sample(1, seed=5))[0, 0].clamp(0, 255).numpy()


def test_a_limit_ships_with_the_prior_and_its_own_draws_stay_below(brain_prior, drawn) -> None:
    assert 1.5 < brain_prior.info.suspect_limit < 5
    assert suspects(drawn, brain_prior).mean() < 0.01


@pytest.mark.parametrize(("kind", "least"), [("zipper", 0.9), ("drop-out", 0.5)])
def test_artefacts_are_found(brain_prior, drawn, kind, least) -> None:
    spoilt, where = ARTEFACTS[kind](drawn, np.random.default_rng(1))
    found = suspects(spoilt, brain_prior)
    assert found[where].mean() > least
    assert found[~where & (drawn > 15)].mean() < 0.08


def test_units_do_not_matter(brain_prior, drawn) -> None:
    spoilt, _ = ARTEFACTS["zipper"](drawn, np.random.default_rng(1))
    same = suspects(3.5 * spoilt.astype(np.float64), brain_prior)
    assert (suspects(spoilt, brain_prior) == same).mean() > 0.995


def test_what_the_prior_does_not_know_is_no_artefact(brain_prior) -> None:
    noise = np.random.default_rng(0).random((128, 128))
    with pytest.raises(InputError, match="explains little"):
        suspects(noise, brain_prior)


def test_without_a_limit_it_says_so(brain_prior, drawn, with_parts) -> None:
    prior = with_parts(brain_prior)
    prior.info = replace(prior.info, suspect_limit=0.0)
    with pytest.raises(InputError, match="no limit"):
        suspects(drawn, prior)
