"""Calibration and misfit limit travel inside a weights file, also through an import."""

from __future__ import annotations

from dataclasses import replace

import pytest

from napari_brgm.calibration import Calibration, Curve
from napari_brgm.errors import WeightsError
from napari_brgm.tensor_file import read_tensors, write_tensors
from napari_brgm.zoo.files import write_prior
from napari_brgm.zoo.install import import_file
from napari_brgm.zoo.registry import card_of, load_prior

FACTORS = ((0.9, 1.0, 1.1, 1.2),)
CALIBRATION = Calibration(
    "held-out subjects of knees", 12, 30, "unaided", {("map", "mask", "tissue"): Curve((0.1,), FACTORS)}, {"mask": 1.3}
)


@pytest.fixture
def measured(random_stylegan2, with_parts):
    prior = with_parts(random_stylegan2)
    prior.info = replace(prior.info, misfit_limit=0.31, calibration=CALIBRATION)
    return prior


def test_what_was_measured_is_read_back(measured, tmp_path):
    path = tmp_path / "knee.safetensors"
    write_prior(measured, path)
    found = load_prior(path).info
    assert found.misfit_limit == 0.31 and found.calibration == CALIBRATION
    again = tmp_path / "again.safetensors"
    write_prior(load_prior(path), again)
    assert again.read_bytes() == path.read_bytes()


def test_an_import_keeps_it(measured, tmp_path):
    """Catches an entry of the registry that has nothing and is believed before the file."""
    path = tmp_path / "knee.safetensors"
    write_prior(measured, path)
    entry = import_file(path, "knee")
    assert entry.misfit_limit == 0.31 and entry.calibration == CALIBRATION
    card = card_of(entry).read_text(encoding="utf-8")
    assert "calibration of its intervals came with the file" in card and "nobody has measured" not in card
    found = load_prior("knee").info
    assert found.misfit_limit == 0.31 and found.calibration == CALIBRATION


def test_a_prior_without_says_nothing_of_it(random_stylegan2, tmp_path):
    path = tmp_path / "plain.safetensors"
    write_prior(random_stylegan2, path)
    assert "calibration" not in read_tensors(path)[1]["info"] and load_prior(path).info.calibration is None


@pytest.mark.parametrize(("old", "new"), [('"misfit_limit": 0.31', '"misfit_limit": -1'), ('"levels"', '"heights"')])
def test_what_is_malformed_is_refused(measured, tmp_path, old, new):
    path = tmp_path / "knee.safetensors"
    write_prior(measured, path)
    tensors, metadata = read_tensors(path)
    assert old in metadata["info"]
    write_tensors(path, tensors, metadata | {"info": metadata["info"].replace(old, new)})
    with pytest.raises(WeightsError, match=r"knee\.safetensors"):
        load_prior(path)
