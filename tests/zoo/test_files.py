"""Weight files give back the prior that was written, and say in one sentence what is wrong with others."""

from __future__ import annotations

import json
from dataclasses import replace
from types import SimpleNamespace

import pytest
import torch
from safetensors.torch import load_file, save_file

from napari_brgm.errors import DeviceError, OutputError, WeightsError
from napari_brgm.priors.encoder import Encoder
from napari_brgm.priors.parts import Parts
from napari_brgm.priors.prior import LatentStatistics, PriorInfo
from napari_brgm.priors.residual_field import ResidualField
from napari_brgm.priors.stylegan2 import StyleGAN2, Synthesis
from napari_brgm.priors.stylegan2_prior import StyleGAN2Prior
from napari_brgm.priors.through_plane import ThroughPlane
from napari_brgm.tensor_file import read_tensors, write_tensors
from napari_brgm.zoo import files
from napari_brgm.zoo.files import read_prior, sha256_of, write_prior


@pytest.fixture(scope="module")
def prior(linear_prior) -> StyleGAN2Prior:
    """Every part that a file can hold: network, linear part, encoder and residual field."""
    torch.manual_seed(0)
    net = Synthesis({6: 4, 12: 4, 24: 3}, 5, inject=True, conv_clamp=256.0)
    info = PriorInfo("ours", "MR T1", "axial", 1.5, 220.0, 33.0)
    field = ResidualField(torch.rand(24, 24) + 4, torch.rand(24, 24))
    statistics = LatentStatistics(torch.linspace(-0.1, 0.1, 12), torch.eye(12) + 0.1)
    shares = torch.rand(12, 33)
    through = ThroughPlane(shares / shares.sum(dim=1, keepdim=True), torch.eye(33)[:12])
    parts = Parts(residual=field, encoder=Encoder((3, 4), 6, 24), through=through)
    return StyleGAN2Prior(net, statistics, info, base=linear_prior, parts=parts)


@pytest.mark.parametrize(("dtype", "error"), [(torch.float16, 2e-2), (torch.float32, 1e-6)])
def test_a_prior_comes_back(prior, tmp_path, dtype, error):
    """Images within the rounding of the stored type (half of one grey level is 0.004); everything else by value."""
    path = tmp_path / "ours.safetensors"
    digest = write_prior(prior, path, dtype)
    again = read_prior(path)
    assert digest == sha256_of(path) == again.info.weights_sha256
    assert replace(again.info, weights_sha256="") == prior.info
    assert again.synthesis.conv_clamp == 256.0
    ws = torch.randn(3, prior.num_ws, 12, generator=torch.Generator().manual_seed(1))
    assert (again.synthesize(ws) - prior.synthesize(ws)).abs().max() < error
    for a, b in [
        (again.latents.mean, prior.latents.mean), (again.latents.covariance, prior.latents.covariance),
        (again.parts.residual.std, prior.parts.residual.std),
        (again.parts.residual.correlation, prior.parts.residual.correlation),
        (again.parts.through.latents, prior.parts.through.latents),
        (again.parts.through.residual, prior.parts.through.residual),
        (again.base.mean, prior.base.mean), (again.base.basis, prior.base.basis),
    ]:  # fmt: skip
        torch.testing.assert_close(a, b, rtol=1e-3, atol=1e-3)
    assert again.base.noise_variance == pytest.approx(prior.base.noise_variance)
    images = torch.rand(2, 1, 24, 24)
    codes = [p.parts.encoder.encode(images) for p in (again, prior)]
    torch.testing.assert_close(*codes, rtol=1e-2, atol=1e-2)
    assert [p.name for p in tmp_path.iterdir()] == ["ours.safetensors"]


@pytest.mark.parametrize("dtype", [torch.float16, torch.float32])
def test_a_published_network_comes_back(random_stylegan2, tmp_path, dtype):
    """With its mapping and its noise maps; a half as written keeps images within 2 % of their range."""
    path = tmp_path / "net.safetensors"
    write_prior(random_stylegan2, path, dtype)
    again = read_prior(path)
    wanted = random_stylegan2.sample(2, seed=3)
    torch.testing.assert_close(
        again.sample(2, seed=3), wanted, atol=(0.02 if dtype is torch.float16 else 1e-5) * 4, rtol=0
    )
    ws = random_stylegan2.latents.mean.expand(1, 8, -1)
    const = random_stylegan2.synthesize(ws, "const")
    assert (again.synthesize(ws, "const") - const).abs().max() < 0.05
    assert (const - random_stylegan2.synthesize(ws, "none")).abs().max() > 0.05


def test_half_precision_keeps_a_steep_covariance(random_stylegan2, tmp_path):
    """W of a trained net varies by factors of thousands between directions: rounding must not make it indefinite."""
    generator = torch.Generator().manual_seed(0)
    turn = torch.linalg.qr(torch.randn(32, 32, generator=generator, dtype=torch.float64)).Q
    covariance = (turn * torch.logspace(0, -7, 32, dtype=torch.float64)) @ turn.T
    steep = StyleGAN2Prior(
        random_stylegan2.synthesis, LatentStatistics(torch.zeros(32), covariance.float()), random_stylegan2.info
    )
    path = tmp_path / "steep.safetensors"
    write_prior(steep, path)
    factor = read_prior(path).latents.factor.double()
    assert (factor @ factor.T - covariance).norm() < 1e-2 * covariance.norm()


def test_a_bare_state_dict_is_a_prior(parity, tmp_path):
    weights, case = parity("32_gray")
    path = tmp_path / "bare.safetensors"
    save_file(weights, path)
    prior = read_prior(path)
    with torch.no_grad():
        images = prior.synthesize(case["wplus"], "const")
    torch.testing.assert_close(images, case["image_noise_const"], atol=1e-4, rtol=0)
    assert prior.info.name == "bare" and prior.info.weights_sha256 == sha256_of(path)
    assert prior.latents.mean.shape == (32,) and prior.mapping is not None
    assert StyleGAN2.from_state_dict(weights).num_ws == prior.num_ws


def test_a_clamp_that_a_state_dict_does_not_say(parity, tmp_path):
    """Read where nothing depends on it, refused where images do, and taken as the metadata say it."""
    weights, case = parity("32_gray")
    weights = dict(weights)
    path = tmp_path / "bare.safetensors"
    save_file(weights, path)
    assert read_prior(path).synthesis.conv_clamp == 256.0
    weights["synthesis.b4.const"] = weights["synthesis.b4.const"] * 1e5
    save_file(weights, path)
    with pytest.raises(WeightsError, match=r"does not say whether activations are clamped, .* put conv_clamp"):
        read_prior(path)
    save_file(weights, path, {"conv_clamp": "256"})
    clamped = read_prior(path)
    save_file(weights, path, {"conv_clamp": "none"})
    free = read_prior(path)
    assert (clamped.synthesis.conv_clamp, free.synthesis.conv_clamp) == (256.0, None)
    with torch.no_grad():
        assert (clamped.synthesize(case["wplus"]) - free.synthesize(case["wplus"])).abs().max() > 0.01


def damage(path, how: str) -> None:
    match how:
        case "missing":
            path.unlink()
        case "truncated":
            path.write_bytes(path.read_bytes()[:-1000])
        case "empty":
            path.write_bytes(b"")
        case "pickle":
            torch.save({"a": torch.zeros(3)}, path)
        case "folder":
            path.unlink()
            path.mkdir()
        case "not finite" | "part missing" | "shape":
            from safetensors import safe_open

            with safe_open(path, "pt") as handle:
                metadata = handle.metadata()
            tensors = load_file(path)
            if how == "not finite":
                tensors["linear.mean"][0, 3, 3] = float("nan")
            elif how == "part missing":
                del tensors["latents.covariance"]
            else:
                tensors["synthesis.b24.conv1.weight"] = tensors["synthesis.b24.conv1.weight"][:, :-1].contiguous()
            save_file(tensors, path, metadata=metadata)
        case "something else":
            save_file({"layer.weight": torch.zeros(3, 3)}, path)


@pytest.mark.parametrize(
    ("how", "says"),
    [
        ("missing", "no weights file"), ("truncated", "not all there"),
        ("empty", "shorter than its header"), ("pickle", "longer than the file"),
        ("folder", "no weights file"), ("not finite", "not finite"), ("part missing", "complete"),
        ("shape", r"b24\.conv1"), ("something else", "not a StyleGAN2"),
    ],
)  # fmt: skip
def test_what_cannot_be_read_ends_in_one_sentence(prior, tmp_path, how, says):
    path = tmp_path / "ours.safetensors"
    write_prior(prior, path)
    damage(path, how)
    with pytest.raises(WeightsError, match=says) as caught:
        read_prior(path)
    assert "\n" not in str(caught.value) and len(str(caught.value)) < 300


def test_a_place_that_cannot_be_written(prior, tmp_path):
    with pytest.raises(OutputError, match="choose a folder"):
        write_prior(prior, tmp_path / "nowhere" / "ours.safetensors")


NO_ROOM = [
    MemoryError(),
    RuntimeError("[enforce fail at alloc_cpu.cpp:127] err == 0. DefaultCPUAllocator: can't allocate memory: you tried"),
    torch.cuda.OutOfMemoryError("CUDA out of memory"),
]


@pytest.mark.parametrize("error", NO_ROOM, ids=lambda error: type(error).__name__)
@pytest.mark.parametrize("where", ["read_tensors", "family_of_format"])
def test_want_of_memory_is_no_damage(prior, tmp_path, monkeypatch, error, where):
    """Catches a good file that a person is told to get again."""
    write_prior(prior, tmp_path / "net.safetensors")

    def fails(*_: object) -> None:
        raise error

    if where == "family_of_format":
        monkeypatch.setattr(files, where, lambda _: SimpleNamespace(read=fails))
    else:
        monkeypatch.setattr(files, where, fails)
    with pytest.raises(DeviceError, match=r"not enough memory .* net\.safetensors; close other programs"):
        read_prior(tmp_path / "net.safetensors")


@pytest.mark.parametrize("field", ["conv_clamp", "linear_noise_variance"])
@pytest.mark.parametrize("value", [[], "256", -1, float("nan"), {}])
def test_numbers_of_a_description_are_numbers(prior, tmp_path, field, value):
    """Catches a list for a clamp, which fails only when the first image is drawn."""
    write_prior(prior, tmp_path / "net.safetensors")
    tensors, text = read_tensors(tmp_path / "net.safetensors")
    text["info"] = json.dumps(json.loads(text["info"]) | {field: value})
    write_tensors(tmp_path / "net.safetensors", tensors, text)
    with pytest.raises(WeightsError, match="no number of 0 or more"):
        read_prior(tmp_path / "net.safetensors")
