"""The classifier finds what was planted, by subjects that it has not seen, and refuses what it cannot learn from."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from napari_brgm.datasets import Framing, SliceSet
from napari_brgm.errors import InputError
from napari_brgm.evaluation.downstream.classifier import auc, auc_by_group, demented, fit_classifier

SIZE = 16


def slices(first: int, count: int, effect: float, seed: int) -> SliceSet:
    """Four slices of each subject, half of whom are demented and have a darker square on the left."""
    draw = np.random.default_rng(seed)
    names = [f"subject-{first + i:03d}" for i in range(count)] + [
        f"subject-{100 + first + i:03d}" for i in range(count)
    ]
    subjects = np.repeat(np.arange(2 * count), 4)
    images = 128 + 20 * draw.standard_normal((8 * count, SIZE, SIZE)) + 6 * draw.standard_normal((8 * count, 1, 1))
    images[subjects >= count, 4:10, 2:7] -= effect
    return SliceSet(
        images.clip(0, 255).astype(np.uint8)[:, None], subjects, tuple(f"s{i}" for i in range(8 * count)), tuple(names),
        Framing(SIZE),
    )  # fmt: skip


def test_what_is_planted_is_found_in_subjects_it_has_not_seen():
    found = fit_classifier(slices(0, 12, 30.0, 0), seed=0)
    assert found.validated > 0.9
    others = slices(20, 8, 30.0, 1)
    grey = others.images[:, 0].astype(np.float32)
    labels = demented(others.subject_names)
    odds = found.log_odds(grey)
    assert auc_by_group(odds, others.subjects, labels[others.subjects]) > 0.9
    np.testing.assert_allclose(found.log_odds(grey[:, :, ::-1]), odds, atol=0.35)  # it has learned mirrored ones too


def test_where_there_is_nothing_it_finds_nothing():
    assert 0.2 < fit_classifier(slices(0, 12, 0.0, 2), seed=0).validated < 0.8


def test_the_same_seed_gives_the_same_classifier():
    first, second = (fit_classifier(slices(0, 10, 10.0, 3), seed=4) for _ in range(2))
    np.testing.assert_array_equal(first.weights, second.weights)
    assert (first.offset, first.validated) == (second.offset, second.validated)


def test_labels_and_what_has_none():
    assert demented(("subject-012", "subject-166")).tolist() == [False, True]
    assert demented(("patient-00000013",)) is None and demented(()) is None
    chest = slices(0, 10, 0.0, 0).relabelled(np.zeros(80, np.int64), ("patient-1",))
    with pytest.raises(InputError, match="no labels"):
        fit_classifier(chest, 0)
    with pytest.raises(InputError, match="too few"):
        fit_classifier(slices(0, 9, 0.0, 0), 0)


def test_auc_is_scikit_learns():
    draw = np.random.default_rng(0)
    scores, positive = draw.integers(8, size=40).astype(float), draw.random(40) < 0.4
    assert auc(scores, positive) == pytest.approx(roc_auc_score(positive, scores))


def test_auc_is_of_subjects_not_of_slices():
    scores, subjects = np.array([0.0, 4.0, 1.0, 1.0, 3.0, -3.0]), np.array([0, 0, 1, 1, 2, 2])
    assert auc_by_group(scores, subjects, np.array([True, True, False, False, False, False])) == 1.0
    assert np.isnan(auc_by_group(scores, subjects, np.ones(6, bool)))
