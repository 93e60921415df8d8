"""The registry loads what it names, and only the file it knows."""

from __future__ import annotations

import json
from importlib import import_module

import numpy as np
import pytest

from napari_brgm.corruptions import Mask
from napari_brgm.engine.restore import restore
from napari_brgm.errors import WeightsError
from napari_brgm.settings import preset
from napari_brgm.zoo.entry import Kind, PriorEntry, checked_name
from napari_brgm.zoo.files import sha256_of, write_prior
from napari_brgm.zoo.registry import (
    available_priors,
    card_of,
    load_prior,
    published,
    registered,
    status_of,
    weights_folder,
)

SHIPPED = "brain-axial-128"


@pytest.fixture
def folder(tmp_path, monkeypatch, random_stylegan2):
    """A weights folder with one prior."""
    digest = write_prior(random_stylegan2, tmp_path / "toy.safetensors")
    entry = {"file": "toy.safetensors", "sha256": digest, "modality": "", "plane": "", "resolution": 32}
    (tmp_path / "registry.json").write_text(json.dumps({"toy": entry}))
    monkeypatch.setattr(import_module("napari_brgm.zoo.registry"), "weights_folder", lambda: tmp_path)
    return tmp_path


def test_by_name_and_by_path(folder):
    by_name, by_path = load_prior("toy"), load_prior(folder / "toy.safetensors")
    assert by_name.info == by_path.info == load_prior(str(folder / "toy.safetensors")).info
    assert available_priors() == ["toy", "deep-image"] and by_name.resolution == 32


def test_the_entry_says_how_the_anatomy_lies_and_what_the_prior_was_tried_on(folder):
    """Files do not; catches a registry that is read and not used, and files of one's own that inherit it."""
    records = json.loads((folder / "registry.json").read_text())
    for limit in (0.25, 1):
        records["toy"] |= {"rotation": 180, "misfit_limit": limit}
        (folder / "registry.json").write_text(json.dumps(records))
        info = load_prior("toy").info
        assert (info.rotation, info.misfit_limit) == (180.0, limit)
        assert isinstance(info.rotation, float) and isinstance(info.misfit_limit, float)
        entry = registered()["toy"]
        assert PriorEntry.from_json("toy", Kind.shipped, entry.to_json()) == entry
    plain = load_prior(folder / "toy.safetensors").info
    assert (plain.rotation, plain.misfit_limit) == (0.0, 0.0)
    assert load_prior("toy").to("cpu").info.rotation == 180


def test_the_entry_brings_the_calibration(folder):
    """To the prior that is loaded by name only; a malformed one is refused with the prior's name."""
    factors = {
        "source": "toys", "subjects": 4, "slices": 8, "preset": "default", "levels": [0.5, 0.8, 0.9, 0.95],
        "scales": {"mask": 0.9},
        "methods": {"map": {"mask": {"tissue": {"at": [0.1], "factors": [[0.8, 0.8, 0.8, 0.9]]}}}},
    }  # fmt: skip
    records = json.loads((folder / "registry.json").read_text())
    records["toy"]["calibration"] = factors
    (folder / "registry.json").write_text(json.dumps(records))
    found = load_prior("toy").info.calibration
    assert found is not None and found.to_dict() == factors
    entry = registered()["toy"]
    assert PriorEntry.from_json("toy", Kind.shipped, json.loads(json.dumps(entry.to_json()))) == entry
    assert load_prior(folder / "toy.safetensors").info.calibration is None
    factors["subjects"] = "many"
    (folder / "registry.json").write_text(json.dumps(records))
    with pytest.raises(WeightsError, match=r"'toy'.*calibration"):
        load_prior("toy")


def test_brain_priors_are_turned_and_chest_priors_are_not():
    for name, entry in registered().items():
        assert entry.rotation == (180 if name.startswith("brain-") else 0), name


def test_another_file_under_the_name_is_refused(folder):
    path = folder / "toy.safetensors"
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)
    with pytest.raises(WeightsError, match="hash"):
        load_prior("toy")


def test_a_missing_file_says_where_it_belongs(folder):
    (folder / "toy.safetensors").unlink()
    with pytest.raises(WeightsError, match=r"missing.*toy\.safetensors"):
        load_prior("toy")


@pytest.mark.parametrize("name", ["toys", "Toy"])
def test_an_unknown_name_tells_the_known_ones(folder, name):
    with pytest.raises(WeightsError) as caught:
        load_prior(name)
    assert "\n" not in str(caught.value)
    assert "toy" in str(caught.value)


def test_every_shipped_entry_is_complete():
    for name, entry in registered().items():
        said = (entry.title, entry.file, entry.modality, entry.plane, entry.resolution, entry.licence, entry.source)
        assert all(said) and entry.hashed and entry.kind is Kind.shipped, name
        assert card_of(entry) is not None, name


def test_every_published_entry_can_be_used():
    """Addresses are https, hashes are hashes or not there, and each says where to look and under what licence."""
    entries = published()
    assert {"brgm-brains", "brgm-xray", "brgm-ffhq", "uiuc-brain", "mammoganesis", "octagan", "brecahad"} <= set(
        entries
    )
    for name, entry in entries.items():
        assert checked_name(name) == name and name not in registered()
        assert entry.title and entry.licence and entry.source and entry.citation, name
        assert entry.format in ("pytorch", "tensorflow", "rosinality"), name
        assert entry.sha256 is None or entry.hashed, name
        assert entry.download is None or (entry.download.startswith("https://") and entry.file), name
        assert status_of(entry) == ("by hand" if entry.download is None else "to fetch")


def test_a_published_prior_that_is_not_here_says_how_to_get_it(folder):
    (folder / "published.json").write_text('{"far": {"title": "x"}}')
    with pytest.raises(WeightsError, match="weights fetch far"):
        load_prior("far")


@pytest.mark.parametrize(
    "record",
    ["[]", "3", '{"file": "../x"}', '{"file": "a/b"}', '{"file": "c:x"}', '{"resolution": "64"}', '{"size": true}',
     '{"licence": null}', '{"card": "/etc/passwd"}', '{"rotation": "180"}', '{"rotation": 90}', '{"rotation": 180.5}',
     '{"rotation": true}', '{"misfit_limit": "0.2"}', '{"misfit_limit": -0.1}', '{"misfit_limit": NaN}',
     '{"misfit_limit": Infinity}', '{"misfit_limit": false}', '{"misfit_limit": null}'],
)  # fmt: skip
def test_a_malformed_registry_is_one_sentence(folder, record):
    (folder / "registry.json").write_text(f'{{"toy": {record}}}')
    with pytest.raises(WeightsError, match="'toy' in the registry is malformed"):
        load_prior("toy")
    (folder / "registry.json").write_text("?")
    with pytest.raises(WeightsError, match="install napari-brgm again"):
        load_prior("toy")


@pytest.fixture(scope="module")
def shipped():
    path = weights_folder() / registered()[SHIPPED].file
    if not path.is_file() or sha256_of(path) != registered()[SHIPPED].sha256:
        pytest.skip("the shipped prior is not in this checkout, or is just being replaced")
    return load_prior(SHIPPED)


def test_the_shipped_prior_draws_heads(shipped):
    """Finite, in range, dark at the border and bright inside: catches weights that no longer fit the code."""
    entry = registered()[SHIPPED]
    assert shipped.resolution == entry.resolution and shipped.info.weights_sha256 == entry.sha256
    assert (weights_folder() / entry.file).stat().st_size <= 25e6
    images = shipped.sample(4, seed=0)[:, 0].numpy()
    assert images.shape == (4, 128, 128) and np.isfinite(images).all() and np.abs(images).max() < 2
    border = np.concatenate([images[:, :4].ravel(), images[:, -4:].ravel()])
    assert border.mean() < -0.8 and images[:, 50:80, 50:80].mean() > -0.5
    assert images.std(axis=0).max() > 0.1


def test_the_shipped_prior_restores(shipped):
    image = ((shipped.sample(1, seed=5)[0, 0].numpy() + 1) * 127.5).clip(0)
    hole = np.zeros((128, 128), bool)
    hole[50:70, 60:85] = True
    result = restore(image, Mask(hole), shipped, samples=3, settings=preset("default").but(steps=2))
    np.testing.assert_array_equal(result.estimate[~hole], image[~hole])
    assert (result.variance[hole] > 0).mean() > 0.99
    assert np.abs(result.estimate - image)[hole].mean() < np.abs(image[hole] - image[~hole].mean()).mean()
