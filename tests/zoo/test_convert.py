"""Imports write a prior that draws the published images, say what half precision costs, or leave nothing."""

from __future__ import annotations

import time

import pytest
import torch

from napari_brgm.errors import InputError, OutputError, WeightsError
from napari_brgm.priors.prior import LatentStatistics, PriorInfo
from napari_brgm.priors.stylegan2 import StyleGAN2
from napari_brgm.priors.stylegan2_prior import StyleGAN2Prior
from napari_brgm.tensor_file import read_tensors
from napari_brgm.zoo.convert import import_weights
from napari_brgm.zoo.files import read_prior, sha256_of, write_prior


@pytest.mark.parametrize(
    ("net", "make", "options"),
    [
        ("32_gray", "pytorch_pickle", {}), ("32_gray", "rosinality_pt", {"latent": None}),
        ("64_rgb", "tensorflow_pickle", {}), ("64_gray_resnet", "pytorch_pickle", {"flat": True}),
    ],
)  # fmt: skip
def test_the_prior_draws_the_published_images(net, make, options, parity, published, tmp_path):
    weights, case = parity(net)
    path, folder = tmp_path / "published.pkl", tmp_path / "new" / "folder"
    path.write_bytes(getattr(published, make)(weights, **options))
    done = import_weights(path, "net", folder, licence="CC BY 4.0", source="a page", citation="Them | and\nothers")
    assert sorted(p.name for p in folder.iterdir()) == ["net.md", "net.safetensors"]
    assert done.path == folder / "net.safetensors" and done.card == folder / "net.md"
    assert done.original_sha256 == sha256_of(path) and done.sha256 == sha256_of(done.path)
    assert (done.resolution, done.channels) == (int(net[:2]), 3 if "rgb" in net else 1)

    prior = read_prior(done.path)
    assert prior.info.name == "net" and prior.mapping is not None
    with torch.no_grad():
        images = prior.synthesize(case["wplus"], "const")
    reach = float(case["image_noise_const"].abs().max())
    assert (images - case["image_noise_const"]).abs().max() < 0.01 * reach  # halves have 11 bits
    assert 0 < done.fp16_error < 0.05
    exact = StyleGAN2Prior.of_network(StyleGAN2.from_state_dict(weights), PriorInfo("net"))
    torch.testing.assert_close(prior.latents.mean, exact.latents.mean)
    torch.testing.assert_close(prior.latents.covariance, exact.latents.covariance)
    apart = float((prior.sample(4, seed=0) - exact.sample(4, seed=0)).abs().max())
    assert apart < 3 * done.fp16_error  # without noise maps, another image, of the same order

    notes = read_tensors(done.path)[1]
    assert notes["original_sha256"] == done.original_sha256 and notes["licence"] == "CC BY 4.0"
    assert float(notes["half_precision_error"]) == pytest.approx(done.fp16_error, rel=0.01)
    card = done.card.read_text("utf-8")
    for said in (done.original_sha256, done.format, "CC BY 4.0", "a page", "Them / and others", "not for diagnosis",
                 f"{done.fp16_error:.2g}"):  # fmt: skip
        assert said in card, said


def test_a_published_file_halves(parity, published, tmp_path):
    """Published pickles hold three networks; half precision of one is well under half."""
    path = tmp_path / "net.pkl"
    path.write_bytes(published.pytorch_pickle(parity("64_rgb")[0]))
    done = import_weights(path, "net", tmp_path)
    assert done.path.stat().st_size <= path.stat().st_size / 2


def test_settings_survive(published, tmp_path):
    path = tmp_path / "net.pkl"
    path.write_bytes(published.tensorflow_pickle(published.random_weights(), nonlinearity="lsoftplus", conv_clamp=256))
    prior = read_prior(import_weights(path, "net", tmp_path / "out").path)
    assert prior.synthesis.activation == "lsoftplus" and prior.mapping.activation == "lrelu"
    assert prior.synthesis.conv_clamp == 256.0 == prior.synthesis.b8.conv1.clamp


def test_a_mapping_of_another_width_survives(published, tmp_path):
    weights = published.random_weights(8, z=6, w=3, features=5, layers=3)
    path = tmp_path / "net.pkl"
    path.write_bytes(published.pytorch_pickle(weights, z_dim=6))
    mapping = read_prior(import_weights(path, "net", tmp_path / "out").path).mapping
    assert (mapping.z_dim, mapping.features, mapping.w_dim, mapping.num_layers) == (6, 5, 3, 3)


def test_what_was_taken_for_granted_is_said(published, tmp_path):
    """A state dict has no clamp: catches one that is left out, or put in, in silence."""
    weights = published.random_weights()
    path = tmp_path / "net.pt"
    path.write_bytes(published.saved(weights))
    done = import_weights(path, "net", tmp_path)
    card = done.card.read_text()
    assert len(done.taken) == 3 and all(f"- {sentence}" in card for sentence in done.taken)
    assert "+-256 was taken" in card and "four images came out the same" in card and "leaky ReLU and 0.01" in card
    notes = read_tensors(done.path)[1]["taken_for_granted"]
    assert "+-256 was taken" in notes and read_prior(done.path).synthesis.conv_clamp == 256.0
    weights["synthesis.b4.const"] = weights["synthesis.b4.const"] * 1e5
    path.write_bytes(published.saved({"G_ema": weights}))
    assert "It matters: without any clamp, four images differ by" in import_weights(path, "strong", tmp_path).taken[-1]
    path.write_bytes(published.saved({"G_ema": weights, "conv_clamp": None}))
    said = import_weights(path, "said", tmp_path)
    assert read_prior(said.path).synthesis.conv_clamp is None and "conv_clamp" not in said.card.read_text()
    path.write_bytes(published.pytorch_pickle(weights))
    done = import_weights(path, "modules", tmp_path)
    assert not done.taken and "Taken for granted" not in done.card.read_text()


def test_noise_maps_only_where_they_are_used(published, tmp_path):
    weights = published.random_weights()
    weights["synthesis.b8.conv0.noise_strength"] = torch.tensor(0.0)
    path = tmp_path / "net.pkl"
    path.write_bytes(published.pytorch_pickle(weights))
    done = import_weights(path, "net", tmp_path)
    names = read_tensors(done.path)[0]
    assert "synthesis.b8.conv0.noise_const" not in names
    stored = names["synthesis.b8.conv1.noise_const"].float()
    torch.testing.assert_close(stored, weights["synthesis.b8.conv1.noise_const"], rtol=1e-3, atol=1e-3)
    assert read_prior(done.path).synthesis.b8.conv0.noise_const.abs().max() == 0


def test_what_halves_cannot_hold_stays_single(published, tmp_path):
    weights = published.random_weights()
    weights["mapping.fc0.weight"] = weights["mapping.fc0.weight"] * 1e4
    path = tmp_path / "net.pkl"
    path.write_bytes(published.pytorch_pickle(weights))
    tensors = read_tensors(import_weights(path, "net", tmp_path).path)[0]
    assert tensors["mapping.fc0.weight"].dtype == torch.float32
    assert tensors["mapping.fc1.weight"].dtype == torch.float16


def test_a_missing_mean_w_is_that_of_the_latents(published, tmp_path):
    path = tmp_path / "net.pt"
    path.write_bytes(published.rosinality_pt(published.random_weights(), average=False))
    done = import_weights(path, "net", tmp_path)
    prior = read_prior(done.path)
    torch.testing.assert_close(prior.mapping.w_avg, prior.latents.mean, rtol=1e-3, atol=1e-3)
    assert "that of 10,000 z" in done.card.read_text()


def test_a_refusal_leaves_nothing(published, hostile, tmp_path):
    path, folder = tmp_path / "net.pkl", tmp_path / "out"
    infinite = published.random_weights()
    infinite["synthesis.b8.torgb.bias"] = torch.full((1,), 3e38)
    infinite["synthesis.b4.torgb.bias"] = torch.full((1,), 3e38)
    singular = published.random_weights()
    singular["mapping.fc1.weight"] = singular["mapping.fc1.weight"] * 1e30
    for data in (
        *hostile.calls("true").values(),
        b"",
        published.pytorch_pickle(infinite),
        published.pytorch_pickle(singular),
    ):
        path.write_bytes(data)
        with pytest.raises(WeightsError, match=r"^net\.pkl: ") as caught:
            import_weights(path, "net", folder)
        assert "\n" not in str(caught.value) and not folder.exists()


def test_places_that_cannot_be_written(published, tmp_path, monkeypatch):
    path, folder = tmp_path / "net.pkl", tmp_path / "out"
    path.write_bytes(published.pytorch_pickle(published.random_weights(4)))
    for name in ("", "../net", "a/b", ".net", "a b", "n" * 101, "net\n"):
        with pytest.raises(InputError, match="not a name"):
            import_weights(path, name, folder)
    with pytest.raises(OutputError, match="choose a folder"):
        import_weights(path, "net", path)
    (tmp_path / "net.md").write_text("mine")
    with pytest.raises(OutputError, match="there already"):
        import_weights(path, "net", tmp_path)
    assert (tmp_path / "net.md").read_text() == "mine" and not (tmp_path / "net.safetensors").exists()
    import_weights(path, "net", folder)
    before = (folder / "net.safetensors").read_bytes()
    with pytest.raises(OutputError, match="there already"):
        import_weights(path, "net", folder)
    assert (folder / "net.safetensors").read_bytes() == before

    def full(self, target):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("pathlib.Path.replace", full)
    with pytest.raises(OutputError, match="choose a folder"):
        import_weights(path, "other", folder)
    assert sorted(p.name for p in folder.iterdir()) == ["net.md", "net.safetensors"]


def test_a_prior_of_the_published_size_loads_in_a_second(tmp_path):
    """256 px, config-e, 24.8 million parameters; three tries, since other work may hold the machine."""
    widths = {4: 512, 8: 512, 16: 512, 32: 512, 64: 256, 128: 128, 256: 64}
    net = StyleGAN2(widths)
    prior = StyleGAN2Prior(net.synthesis, LatentStatistics.standard(512), PriorInfo("large"), mapping=net.mapping)
    path = tmp_path / "large.safetensors"
    write_prior(prior, path)
    assert sum(p.numel() for p in net.parameters()) > 24.7e6
    taken = []
    for _ in range(3):
        begin = time.process_time()
        read_prior(path)
        taken.append(time.process_time() - begin)
    assert min(taken) < 1.0, taken
