"""The file of a latent convolutional model gives back the prior, and is one sentence where it is damaged or hostile."""

from __future__ import annotations

import json
from dataclasses import asdict, replace

import pytest
import torch

from napari_brgm.errors import WeightsError
from napari_brgm.priors.convolutional_manifold import ConvolutionalManifold
from napari_brgm.priors.hourglass import Hourglass
from napari_brgm.priors.latent_maps import latent_map
from napari_brgm.priors.parts import Parts
from napari_brgm.priors.prior import LowRankStatistics, PriorInfo
from napari_brgm.priors.residual_field import ResidualField
from napari_brgm.tensor_file import read_tensors, write_tensors
from napari_brgm.zoo.files import read_prior, sha256_of, write_prior


def with_field(prior: ConvolutionalManifold) -> ConvolutionalManifold:
    side = prior.resolution
    field = ResidualField(torch.rand(side, side) + 4, torch.rand(side + 6, side + 6))
    return ConvolutionalManifold(prior.latent_map, prior.generator, prior.latents, prior.info, Parts(residual=field))


def test_a_prior_comes_back(tiny_manifold, tmp_path):
    """Components within half a step of 8 bits, images within 2 grey levels of 255."""
    prior, path = with_field(tiny_manifold), tmp_path / "w.safetensors"
    digest = write_prior(prior, path, notes={"note": "of mine"})
    again = read_prior(path)
    assert isinstance(again, ConvolutionalManifold) and digest == sha256_of(path) == again.info.weights_sha256
    assert replace(again.info, weights_sha256="") == prior.info and again.latent_map.kind == "convolutional"
    step = prior.latents.basis.abs().amax(dim=1, keepdim=True) / 127
    assert ((again.latents.basis - prior.latents.basis).abs() <= 0.51 * step).all()
    torch.testing.assert_close(again.latents.mean, prior.latents.mean)
    u = torch.randn(4, 1, 6, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(again.latents.whiten(again.latents.colour(u)), u, rtol=0.02, atol=0.02)
    difference = again.synthesize(again.latents.colour(u)) - prior.synthesize(prior.latents.colour(u))
    assert difference.abs().mean() < 2 / 127.5
    torch.testing.assert_close(again.parts.residual.std, prior.parts.residual.std, rtol=1e-3, atol=1e-3)
    fields = [p.parts.residual.correlation for p in (again, prior)]
    torch.testing.assert_close(*fields, rtol=1e-3, atol=1e-3)
    assert read_tensors(path)[1]["note"] == "of mine"
    tensors = read_tensors(path)[0]
    assert tensors["latents.basis"].dtype == torch.int8 and tensors["generator.last.weight"].dtype == torch.float16
    assert [p.name for p in tmp_path.iterdir()] == ["w.safetensors"]


@pytest.mark.parametrize("kind", ["free", "vector"])
@pytest.mark.parametrize("channels", [1, 3])
def test_rivals_and_colour_come_back(kind, channels, tmp_path):
    torch.manual_seed(0)
    drawn = latent_map(kind, size=5)
    net = Hourglass(outs=channels, trunk=(3, 4), fine=(), skip=1)
    net.last.weight.data *= 20  # so that its images have contrast
    latents = LowRankStatistics(torch.zeros(drawn.size), torch.randn(2, drawn.size) / drawn.size**0.5)
    prior = ConvolutionalManifold(drawn, net, latents, PriorInfo("rival"))
    write_prior(prior, tmp_path / "w.safetensors")
    again = read_prior(tmp_path / "w.safetensors")
    assert again.latent_map.kind == kind and again.channels == channels and again.parts.residual is None
    difference = again.sample(3) - prior.sample(3)
    assert difference.abs().mean() < 0.02 and prior.sample(3).std() > 0.01


def test_what_a_half_cannot_hold_stays_a_float(tiny_manifold, tmp_path):
    """Catches a variance of 1e6 that becomes infinite, so that the file is refused when it is read."""
    net = Hourglass.from_state_dict(
        {k: v for k, v in tiny_manifold.generator.state_dict().items() if v.is_floating_point()}
    )
    net.squeeze.norm.running_var[0] = 1e6
    prior = ConvolutionalManifold(tiny_manifold.latent_map, net, tiny_manifold.latents, tiny_manifold.info)
    write_prior(prior, tmp_path / "w.safetensors")
    assert read_prior(tmp_path / "w.safetensors").generator.squeeze.norm.running_var[0] == 1e6


BROKEN = {
    "no map": (lambda t, m: [t.pop("map.s")], "unknown or incomplete"),
    "no basis": (lambda t, m: [t.pop("latents.basis")], "complete"),
    "no scale": (lambda t, m: [t.pop("latents.scale")], "complete"),
    "no mean": (lambda t, m: [t.pop("latents.mean")], "complete"),
    "no layer": (lambda t, m: [t.pop("generator.up.0.conv.weight")], "hourglass"),
    "no correlation": (lambda t, m: [t.pop("residual.correlation")], "complete"),
    "no generator": (lambda t, m: [t.pop(k) for k in list(t) if k.startswith("generator")], "hourglass"),
    "unknown tensor": (lambda t, m: t.update({"generator.x": torch.zeros(2)}), "hourglass"),
    "shape of a layer": (lambda t, m: t.update({"generator.last.weight": torch.zeros(1, 3, 3, 3)}), "hourglass"),
    "shape of s": (lambda t, m: t.update({"map.s": torch.zeros(1, 2, 39, 39)}), "latent map"),
    "shape of the mean": (lambda t, m: t.update({"latents.mean": torch.zeros(5)}), "do not fit together"),
    "shape of the scale": (lambda t, m: t.update({"latents.scale": torch.zeros(2)}), "do not fit together"),
    "flat basis": (lambda t, m: t.update({"latents.basis": torch.zeros(6).to(torch.int8)}), "do not fit together"),
    "no components": (
        lambda t, m: t.update({"latents.basis": t["latents.basis"][:0], "latents.scale": t["latents.scale"][:0]}),
        "no components",
    ),
    "other latents": (
        lambda t, m: t.update({"latents.basis": t["latents.basis"][:, :9], "latents.mean": t["latents.mean"][:9]}),
        "where the statistics have 9",
    ),
    "endless components": (lambda t, m: t.update({"latents.scale": torch.full((6,), 3e38)}), "too large"),
    "not finite": (lambda t, m: t["generator.last.bias"].fill_(float("nan")), "not finite"),
    "infinite": (lambda t, m: t["latents.mean"][:1].fill_(float("inf")), "not finite"),
    "negative variance": (lambda t, m: t["generator.squeeze.norm.running_var"].neg_(), "negative variance"),
    "field of another size": (lambda t, m: t.update({"residual.std": torch.ones(3, 3)}), "64 x 64"),
    "unknown kind": (lambda t, m: m.update(kind="quantum"), "'quantum' in these weights is unknown"),
    "long kind": (lambda t, m: m.update(kind="q\n" * 9000), "is unknown"),
    "another kind": (lambda t, m: m.update(kind="free"), "unknown or incomplete"),
    "no kind": (lambda t, m: m.pop("kind"), "unknown"),
    "no info": (lambda t, m: m.pop("info"), "complete"),
    "info is no JSON": (lambda t, m: m.update(info="{"), "complete"),
    "info is a list": (lambda t, m: m.update(info="[]"), "complete"),
    "unknown info": (lambda t, m: m.update(info='{"name": "a", "colour": 1}'), "complete"),
    "info of text": (lambda t, m: m.update(info='{"name": "a", "spacing_mm": "wide"}'), "something else"),
    "info not finite": (lambda t, m: m.update(info='{"name": "a", "representation_sigma": NaN}'), "something else"),
    "nameless": (lambda t, m: m.update(info='{"name": 3}'), "something else"),
    "no channels": (lambda t, m: t.update({"generator.squeeze.conv.weight": torch.zeros(0, 64, 1, 1)}), "cannot be"),
    "endless channels": (
        lambda t, m: t.update({"generator.down.0.conv.weight": torch.empty(1 << 40, 0, 3, 3)}), "hourglass",
    ),
    "endless widths": (  # each fits the next, and a network of such widths would need terabytes
        lambda t, m: t.update({"generator.enlarge.0.norm.weight": torch.zeros(1 << 22)}), "hourglass",
    ),
    "endless sizes": (
        lambda t, m: t.update(
            {f"generator.enlarge.{i}.{k}": torch.zeros(1) for i in range(1, 40) for k in ("conv.weight", "norm.weight")}
        ),
        "cannot be",
    ),
}  # fmt: skip


@pytest.mark.parametrize("how", BROKEN)
def test_damaged_and_hostile_files_are_one_sentence(tiny_manifold, tmp_path, how):
    path = tmp_path / "w.safetensors"
    write_prior(with_field(tiny_manifold), path)
    tensors, metadata = read_tensors(path)
    change, says = BROKEN[how]
    change(tensors, metadata)
    write_tensors(path, tensors, metadata)
    with pytest.raises(WeightsError, match=says) as caught:
        read_prior(path)
    assert str(caught.value).isprintable() and len(str(caught.value)) < 300


def test_a_file_that_is_cut_is_one_sentence(tiny_manifold, tmp_path):
    path = tmp_path / "w.safetensors"
    write_prior(tiny_manifold, path)
    whole = path.read_bytes()
    for length in (0, 7, 100, len(whole) // 2, len(whole) - 1):
        path.write_bytes(whole[:length])
        with pytest.raises(WeightsError, match="cannot be read as safetensors weights: "):
            read_prior(path)


def test_a_layout_of_ours_without_its_description_is_one_sentence(tmp_path):
    """The other family's file, too: catches a bare KeyError."""
    path = tmp_path / "w.safetensors"
    for metadata in ({}, {"info": "[" * 100_000}, {"info": json.dumps(asdict(PriorInfo("x")))}):
        write_tensors(path, {"a": torch.zeros(2)}, {"format": "napari-brgm prior 1"} | metadata)
        with pytest.raises(WeightsError, match=r"w\.safetensors") as caught:
            read_prior(path)
        assert len(str(caught.value)) < 300
