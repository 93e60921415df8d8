"""The study of held-out subjects: wrong spreads are put right on subjects that it did not calibrate on."""

from __future__ import annotations

import numpy as np
import pytest

from napari_brgm.datasets import Framing, SliceSet
from napari_brgm.evaluation.subject_study import HowToStudy, SubjectStudy, tasks_of_frame
from napari_brgm.priors.linear_gaussian import LinearGaussian
from napari_brgm.priors.prior import PriorInfo

HOW = HowToStudy(calibrating=50, reporting=30, misfits=4, samples=12)


@pytest.fixture(scope="module")
def prior(smooth_images):
    return LinearGaussian.fit(smooth_images(80, 32), 12, PriorInfo("toy-32", representation_sigma=6.0))


def _drawn(prior, subjects, seed):
    """A slice of each subject that the prior draws, with the white noise that it expects."""
    grey = (prior.sample(subjects, seed=seed) + 1).numpy() * 127.5
    grey = grey + 6 * np.random.default_rng(seed).standard_normal(grey.shape)
    names = tuple(f"s{i}" for i in range(subjects))
    return SliceSet(grey.round().clip(0, 255).astype(np.uint8), np.arange(subjects), names, names, Framing(32))


def _study(prior, tmp_path, tell=None, how=HOW):
    return SubjectStudy(prior, _drawn(prior, 12, 1), _drawn(prior, 8, 2), "held-out toys", tmp_path, how, tell)


@pytest.mark.parametrize("spread", [0.4, 2.0])
def test_intervals_of_new_subjects_hold_what_they_say(prior, tmp_path, spread):
    """A prior that is too sure of itself, or too little: its own draws are the truth."""
    wrong = LinearGaussian(
        prior.mean, prior.coarse * spread, prior.noise_variance, PriorInfo("wrong-32", representation_sigma=6.0)
    )
    study = SubjectStudy(wrong, _drawn(prior, 20, 1), _drawn(prior, 12, 2), "held-out toys", tmp_path, HOW)
    found = study.run()
    assert found.calibration.source == "held-out toys" and found.calibration.subjects == 20
    assert found.calibration.knows("map", "mask") and found.calibration.knows("map", "downsample")
    holes = found.coverage["in-painting"]
    assert holes.subjects >= 10 and 0.82 < holes.everywhere < 0.97
    assert abs(holes.everywhere - 0.9) < abs(holes.before - 0.9)
    assert found.misfit_limit > 0 and 0 <= found.below_limit <= 1


def test_a_cut_study_goes_on(prior, tmp_path):
    texts = []
    assert _study(prior, tmp_path).run(seconds=-1) is None

    def tell(done, total, text):
        texts.append((done, total, text))
        if done == 5:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        _study(prior, tmp_path, tell).run()
    kept = {path.name: path.stat().st_mtime_ns for path in tmp_path.iterdir()}
    assert len(kept) == 5
    found = _study(prior, tmp_path).run()
    assert {name: (tmp_path / name).stat().st_mtime_ns for name in kept} == kept
    again = _study(prior, tmp_path).run()
    assert again.calibration == found.calibration and again.misfit_limit == found.misfit_limit


def test_all_tasks_are_about_as_frequent_and_every_subject_is_seen(prior, tmp_path):
    study = _study(prior, tmp_path)
    for reported, subjects in ((False, 12), (True, 8)):
        cases = [case for case in study.cases if case.reported is reported]
        counts = [sum(case.task.name == task.name for case in cases) for task in tasks_of_frame(32)]
        assert max(counts) - min(counts) <= 1 and len({case.subject for case in cases}) == subjects
    assert {case.subject for case in study.cases if case.reported}.isdisjoint(
        {case.subject for case in study.cases if not case.reported}
    )


@pytest.mark.parametrize("size", [32, 128, 256, 512])
def test_holes_are_the_same_share_of_any_frame(size):
    shares = [task.missing.mean() for task in tasks_of_frame(size) if task.missing is not None]
    of_128 = [task.missing.mean() for task in tasks_of_frame(128) if task.missing is not None]
    assert all(task.size == size for task in tasks_of_frame(size))
    np.testing.assert_allclose(shares, of_128, atol=0.03)
