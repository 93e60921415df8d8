"""The test of ranks finds what is too narrow, too wide or biased, and lets the right answer pass."""

from __future__ import annotations

import numpy as np
import pytest

from napari_brgm.evaluation.rank_plot import plot_ranks
from napari_brgm.evaluation.ranks import RankReport, ranks_among


def report(scale: float = 1.0, shift: float = 0.0, n: int = 200, seed: int = 0) -> RankReport:
    """Truths N(0, 1) among draws N(shift, scale^2)."""
    rng = np.random.default_rng(seed)
    ranks = [ranks_among(rng.normal(size=4), shift + scale * rng.normal(size=(31, 4))) for _ in range(n)]
    return RankReport("q", 31, ("a", "b", "c", "d"), np.stack(ranks))


def test_the_right_posterior_passes():
    """In all but one of 40 runs at most: the level is 1 %."""
    verdicts = [report(seed=s).verdict for s in range(40)]
    assert sum(v != "pass" for v in verdicts) <= 1
    assert report(n=2000).spread == pytest.approx(np.ones(4), abs=0.1)


@pytest.mark.parametrize(("scale", "shift"), [(0.6, 0.0), (1.8, 0.0), (1.0, 0.6)])
def test_a_wrong_posterior_fails(scale, shift):
    found = report(scale, shift)
    assert found.failing == found.names and found.verdict == "4 of 4 fail: a, b, c, d"


def test_the_variance_of_ranks_tells_how_it_is_wrong():
    assert (report(0.6).spread > 1.3).all() and (report(1.8).spread < 0.7).all()


def test_bins_divide_the_ranks_and_are_filled():
    assert [report(n=n).bins for n in (4, 12, 25, 45, 200)] == [1, 2, 4, 8, 16]
    assert report(n=4).p_values == pytest.approx(np.ones(4))
    assert report(n=45).histograms.sum(axis=1).tolist() == [45] * 4


def test_ranks_count_the_draws_below():
    draws = np.array([[0.0, 5.0], [1.0, 6.0], [2.0, 7.0]])
    assert ranks_among(np.array([1.5, 9.0]), draws).tolist() == [2, 3]


def test_a_picture_is_written(tmp_path):
    plot_ranks(tmp_path / "ranks.png", [report(n=40), report(0.5, n=40)])
    assert (tmp_path / "ranks.png").stat().st_size > 10_000


def test_plain_values():
    plain = report(n=10).as_dict()
    assert plain["simulations"] == 10 and len(plain["quantities"]["a"]["ranks"]) == 10
