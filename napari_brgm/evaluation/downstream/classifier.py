"""DementiaClassifier: demented or not, from one brain slice; learned from true training slices alone.

Logistic regression on principal components of the slice at half its resolution, each slice mirrored too; how many
components is chosen by cross-validation over training subjects. Subjects are numbered in the archive: 000-099 not
demented, 100-169 very mildly, 170-197 mildly, 198-199 moderately.

Small on purpose: it takes a minute. It is a reader of the images with habits of its own, no instrument of diagnosis.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from scipy.stats import rankdata

from napari_brgm.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy.typing as npt

    from napari_brgm.datasets import SliceSet

    Images = npt.NDArray[np.float32]
    Floats = npt.NDArray[np.float64]

__all__ = ["DementiaClassifier", "auc", "auc_by_group", "demented", "fit_classifier"]

_FIRST_DEMENTED = 100
_NUMBER = re.compile(r"^subject-(\d+)$")
_COMPONENTS, _INVERSE_RIDGE = (20, 50, 100, 200), 1e-2
_FOLDS = 5
_LEAST = 10  # subjects of each kind


@dataclass(frozen=True, slots=True, eq=False)
class DementiaClassifier:
    """Log odds are affine in the pixels of the slice at half its resolution.

    Attributes
    ----------
    weights : (R / 2, R / 2) ndarray
        Per grey level.
    offset : float
    components : int
    validated : float
        AUC of training subjects by cross-validation.
    """

    weights: Floats
    offset: float
    components: int
    validated: float

    def log_odds(self, images: Images) -> Floats:
        """(N,) of images (N, R, R), grey levels 0..255; above 0: demented."""
        half = _halved(images)
        found: Floats = np.tensordot(half.astype(np.float64), self.weights, axes=2) + self.offset
        return found


def demented(subject_names: Sequence[str]) -> npt.NDArray[np.bool_] | None:
    """Labels of subjects; None where their names carry none.

    Examples
    --------
    >>> demented(["subject-099", "subject-100"]), demented(["patient-00000013"])
    (array([False,  True]), None)
    """
    found = [_NUMBER.match(name) for name in subject_names]
    numbers = [int(match[1]) for match in found if match]
    return np.array(numbers) >= _FIRST_DEMENTED if numbers and len(numbers) == len(found) else None


def auc_by_group(scores: Floats, groups: npt.NDArray[np.int64], positive: npt.NDArray[np.bool_]) -> float:
    """AUC of groups by the means of their scores; ``positive`` (N,) says it of each score. nan: one kind is missing."""
    owners = np.unique(groups)
    means = np.array([scores[groups == owner].mean() for owner in owners])
    return auc(means, np.array([positive[groups == owner][0] for owner in owners]))


def auc(scores: Floats, positive: npt.NDArray[np.bool_]) -> float:
    """Probability that a positive one scores higher than another, ties half (Mann, Whitney); nan: one kind is missing.

    Examples
    --------
    >>> auc(np.array([1.0, 2.0, 2.0, 3.0]), np.array([False, False, True, True]))
    0.875
    """
    count = int(positive.sum())
    if not 0 < count < len(scores):
        return float("nan")
    above = rankdata(scores)[positive].sum() - count * (count + 1) / 2
    return float(above / (count * (len(scores) - count)))


def fit_classifier(slices: SliceSet, seed: int) -> DementiaClassifier:
    """Learn from the true slices of training subjects.

    Raises
    ------
    InputError
        Subjects have no labels, or there are fewer than ten of a kind.
    """
    labels = demented(slices.subject_names)
    if labels is None:
        raise InputError("the training subjects have no labels: their names are not subject-NNN")
    if min(labels.sum(), (~labels).sum()) < _LEAST:
        raise InputError(f"{labels.sum()} demented and {(~labels).sum()} other training subjects are too few to learn")
    half = _halved(slices.images[:, 0].astype(np.float32) * np.float32(255 / slices.white))
    owners, target = np.asarray(slices.subjects), labels[slices.subjects]
    tried = [_validated(half, target, owners, k, seed) for k in _COMPONENTS]
    best = int(np.argmax(tried))
    weights, offset = _fitted(half, target, _COMPONENTS[best], seed)
    return DementiaClassifier(weights, offset, _COMPONENTS[best], tried[best])


def _validated(half: Images, target: npt.NDArray[np.bool_], owners: Any, components: int, seed: int) -> float:
    """AUC by subject of slices whose subjects were not learned from."""
    part = np.random.default_rng(seed).permutation(int(owners.max()) + 1)[owners] % _FOLDS
    scores = np.empty(len(half))
    for fold in range(_FOLDS):
        weights, offset = _fitted(half[part != fold], target[part != fold], components, seed)
        scores[part == fold] = np.tensordot(half[part == fold].astype(np.float64), weights, axes=2) + offset
    return auc_by_group(scores, owners, target)


def _fitted(half: Images, target: npt.NDArray[np.bool_], components: int, seed: int) -> tuple[Floats, float]:
    """Weights (r, r) and offset of the log odds."""
    from sklearn.decomposition import PCA
    from sklearn.linear_model import LogisticRegression

    both = np.concatenate([half, half[:, :, ::-1]]).reshape(2 * len(half), -1)
    pca = PCA(min(components, len(both) - 1, both.shape[1]), svd_solver="randomized", random_state=seed).fit(both)
    spread = np.sqrt(pca.explained_variance_)
    model = LogisticRegression(C=_INVERSE_RIDGE, max_iter=500, class_weight="balanced")
    model.fit(pca.transform(both) / spread, np.concatenate([target, target]))
    weights = (model.coef_[0] / spread) @ pca.components_
    offset = float(model.intercept_[0] - weights @ pca.mean_)
    return weights.reshape(half.shape[1:]).astype(np.float64), offset


def _halved(images: Images) -> Images:
    n, height, width = images.shape
    half: Images = images.reshape(n, height // 2, 2, width // 2, 2).mean(axis=(2, 4), dtype=np.float32)
    return half
