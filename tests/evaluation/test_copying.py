"""Copies are found, turned about or not, and what is no copy is as far as it is."""

from __future__ import annotations

import numpy as np
import pytest

from napari_brgm.evaluation.copying import nearest_training


def test_copies_are_found():
    rng = np.random.default_rng(0)
    training = rng.uniform(0, 255, (300, 64, 64)).astype(np.float32)
    images = np.stack([training[290], training[7, :, ::-1] + 3, rng.uniform(0, 255, (64, 64)).astype(np.float32)])
    found = nearest_training(images, training)
    assert found[0] == pytest.approx(0, abs=1e-3) and found[1] == pytest.approx(3, abs=1e-3)
    truth = np.sqrt(np.square(np.concatenate([training, training[..., ::-1]]) - images[2]).mean(axis=(1, 2))).min()
    assert found[2] == pytest.approx(truth, rel=1e-5)


def test_larger_frames_are_compared_by_their_means():
    training = np.random.default_rng(1).uniform(0, 255, (2, 128, 128)).astype(np.float32)
    checks = training[:1].copy()
    checks[:, ::2] += 9
    checks[:, 1::2] -= 9
    assert nearest_training(checks, training)[0] == pytest.approx(0, abs=1e-3)
