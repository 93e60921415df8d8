"""The limit, and how far it holds for other subjects, with what ``restore`` would tell."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest

from napari_brgm.corruptions import Downsample, Mask
from napari_brgm.engine.restore import restore
from napari_brgm.errors import InputError, ScanError
from napari_brgm.evaluation import misfit
from napari_brgm.evaluation.misfit import LimitReport, held_out_misfits, misfit_after_map
from napari_brgm.settings import preset


def grey(prior, seed) -> np.ndarray:
    return ((prior.sample(1, seed=seed)[0, 0].numpy() + 1) * 127.5).clip(0, 255)


def test_it_is_what_restore_tells(linear_prior):
    """Catches other settings, another pose or another image than those of a restoration."""
    image = grey(linear_prior, 21)
    missing = np.zeros((24, 24), bool)
    missing[7:14, 9:17] = True
    coarse = image.reshape(6, 4, 6, 4).mean(axis=(1, 3))
    for observed, corruption in ((image, Mask(missing)), (coarse, Downsample(4))):
        result = restore(
            observed, corruption, linear_prior, samples=2, settings=preset(linear_prior.info.preset), device="cpu"
        )
        found = misfit_after_map(observed, corruption, linear_prior)
        assert found == pytest.approx(result.provenance["misfit"]["value"], abs=2e-4)
        assert 0 < found < 0.3


def test_the_figures_of_a_report():
    """Catches a half that is tried on the limit that it gave itself: no slice would ever lie above."""
    report = LimitReport(np.array([0.1, 0.2]), np.array([0.05, 0.22, 0.3, 0.15]))
    assert report.limit == pytest.approx(misfit.MARGIN * 0.3)
    assert report.quiet == pytest.approx(5 / 6)  # 0.3 is far above 0.2
    assert report.spread == pytest.approx((0.05, 0.175, 0.3))


@pytest.fixture
def held_out(monkeypatch, linear_prior):
    """A set of eight images of four subjects, two of each; called with the subjects, it has others."""

    def use(subjects=(0, 0, 1, 1, 2, 2, 3, 3), images=None):
        drawn = np.stack([grey(linear_prior, seed) for seed in range(len(subjects))]) if images is None else images
        slices = SimpleNamespace(images=drawn[:, None], white=255, subjects=np.array(subjects))
        read = lambda data, part: {"validation": slices}[part]  # noqa: E731
        monkeypatch.setattr(misfit, "set_of", lambda prior: SimpleNamespace(read=read))

    use()
    return use


def test_the_subjects_are_parted(linear_prior, held_out, monkeypatch, tmp_path):
    """Each slice twice, in its subject's half: catches slices of one subject in both."""
    seen = []

    def measured(image, corruption, prior):
        seen.append((image.shape, type(corruption)))
        return 0.01 * ((len(seen) - 1) // 2)

    monkeypatch.setattr(misfit, "misfit_after_map", measured)
    told = []
    report = held_out_misfits(linear_prior, tmp_path, 8, lambda *step: told.append(step))
    assert seen == [((24, 24), Mask), ((6, 6), Downsample)] * 8
    np.testing.assert_allclose(report.first, np.repeat([0, 0.01, 0.04, 0.05], 2))  # subjects 0 and 2
    np.testing.assert_allclose(report.second, np.repeat([0.02, 0.03, 0.06, 0.07], 2))
    assert told == [(i, 8, "toy-24") for i in range(1, 9)]


def test_draws_of_the_prior_are_quiet(linear_prior, held_out, tmp_path):
    report = held_out_misfits(linear_prior, tmp_path, 8)
    assert report.first.shape == report.second.shape == (8,)
    assert 0 < report.spread[0] <= report.spread[1] <= report.spread[2] < 0.4
    assert report.limit == pytest.approx(misfit.MARGIN * max(report.first.max(), report.second.max()))


def test_one_half_alone_is_one_sentence(linear_prior, held_out, monkeypatch, tmp_path):
    """Too few slices, or slices without tissue: catches the greatest of nothing, and a limit that is not a number."""
    monkeypatch.setattr(misfit, "misfit_after_map", lambda image, corruption, prior: 0.1)
    for subjects in ((0,), (0, 2, 4), (1, 3)):
        held_out(subjects)
        with pytest.raises(InputError, match="are too few") as refused:
            held_out_misfits(linear_prior, tmp_path, len(subjects))
        assert "\n" not in str(refused.value)
    held_out()
    dark = iter([np.nan, 0.1, 0.2, np.nan] * 4)
    monkeypatch.setattr(misfit, "misfit_after_map", lambda image, corruption, prior: next(dark))
    assert held_out_misfits(linear_prior, tmp_path, 8).limit == pytest.approx(misfit.MARGIN * 0.2)


def test_a_prior_that_fits_no_set(linear_prior, tmp_path):
    with pytest.raises(InputError, match="fits none of the validation sets"):
        held_out_misfits(linear_prior, tmp_path, 8)


def test_a_missing_set_is_named(tmp_path):
    from napari_brgm.evaluation.held_out import SETS

    with pytest.raises(ScanError, match="brain_validation"):
        SETS[0].read(tmp_path, "validation")
