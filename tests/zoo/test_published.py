"""What a file says of its network is read, and must agree with the shapes; other kinds end in one sentence."""

from __future__ import annotations

import pickle

import numpy as np
import pytest
import torch

from napari_brgm.zoo.published_file import read_published


@pytest.mark.parametrize(
    ("options", "clamp"),
    [
        ({"conv_clamp": 256}, 256.0),
        ({"conv_clamp": 256.0, "flat": True}, 256.0),
        ({}, None),
        ({"layers": {"conv_clamp": 256}, "conv_clamp": None}, 256.0),
        ({"layers": {"conv_clamp": np.float64(256)}}, 256.0),
    ],
)
def test_the_clamp_is_read(published, tmp_path, options, clamp):
    """From the call, nested or flat, or from the layers where it was the default of the code."""
    path = tmp_path / "net.pkl"
    path.write_bytes(published.pytorch_pickle(published.random_weights(), **options))
    net = read_published(path).network()
    assert net.synthesis.conv_clamp == clamp == net.synthesis.b8.conv0.clamp


def test_the_smooth_activation_is_read(published, tmp_path):
    path = tmp_path / "net.pkl"
    weights = published.random_weights()
    for more, mapping in (({}, "lrelu"), ({"mapping_nonlinearity": "lsoftplus"}, "lsoftplus")):
        path.write_bytes(published.tensorflow_pickle(weights, nonlinearity="lsoftplus", **more))
        net = read_published(path).network()
        assert net.synthesis.activation == net.synthesis.b8.conv1.activation == "lsoftplus"
        assert net.mapping.activation == mapping
    path.write_bytes(published.pytorch_pickle(weights, layers={"activation": "lrelu"}))
    assert read_published(path).network().synthesis.activation == "lrelu"


def test_a_checkpoint_without_mean_w(published, tmp_path):
    path = tmp_path / "net.pt"
    path.write_bytes(published.rosinality_pt(published.random_weights(), average=False))
    found = read_published(path)
    assert "mapping.w_avg" not in found.weights and found.network().mapping.w_avg.shape == (2,)


def other_kinds(published) -> dict[str, tuple[bytes, str]]:
    """Networks that are not for this package, or not what they say."""
    w = published.random_weights(8, z=2)
    one = torch.ones
    no_first = {k: v for k, v in w.items() if not k.startswith("synthesis.b4.torgb")}
    oblong = {**w, "synthesis.b4.const": one(2, 4, 8)}
    flat = published.tensorflow_variables(w)
    style1 = {
        **flat,
        "synthesis": [("4x4/Const/const", one(1, 2, 4, 4).numpy()), ("ToRGB_lod0/weight", np.ones(3, "f4"))],
    }
    tf, pt, ros = published.tensorflow_pickle, published.pytorch_pickle, published.rosinality_pt
    return {
        "StyleGAN3": (pt(w | {"synthesis.input.freqs": one(4, 2), "synthesis.L0_36_512.weight": one(1)}), "StyleGAN3"),
        "StyleGAN1": (tf(w, variables=style1), "StyleGAN1"),
        "conditional": (pt(w, c_dim=3), "class-conditional"),
        "embedding": (pt(w | {"mapping.embed.weight": one(2, 3)}), "class-conditional"),
        "TF conditional": (tf(w, label_size=2), "class-conditional"),
        "TF labels": (
            tf(w, variables=flat | {"mapping": [*flat["mapping"], ("LabelConcat/weight", np.ones((3, 2), "f4"))]}),
            "class-conditional",
        ),
        "not square": (pt(oblong), "not square"),
        "TF not square": (tf(oblong), "not square"),
        "TF other name": (
            tf(w, variables=flat | {"synthesis": [("4x8/Const/const", np.ones((1, 2, 4, 8), "f4"))]}),
            "not square",
        ),
        "orig": (tf(no_first, architecture="orig"), "architecture 'orig'"),
        "orig unsaid": (tf(no_first), "architecture 'orig'"),
        "w_dim": (pt(w, w_dim=5), "says w_dim 5, but its weights have 2"),
        "TF w": (tf(w, dlatent_size=5), "says w_dim 5"),
        "z_dim": (pt(w, z_dim=7), "z_dim 7"),
        "layers": (pt(w, num_layers=7), "mapping_layers 7"),
        "resolution": (pt(w, img_resolution=16), "resolution 16"),
        "channels": (pt(w, img_channels=3), "channels 3"),
        "rosinality size": (ros(w, size=64), "resolution 64"),
        "rosinality latent": (ros(w, latent=512), "z_dim 512"),
        "base": (pt(w, channel_base=8), "channel counts"),
        "architecture": (pt(w, architecture="resnet"), "architecture resnet"),
        "activation": (pt(w, layers={"activation": "swish"}), "activation"),
        "TF activation": (tf(w, nonlinearity="relu"), "activation"),
        "filter": (tf(w, resample_kernel=[1, 2, 1]), "filter"),
        "lr": (tf(w, mapping_lrmul=1.0), "mapping_lrmul"),
        "latents": (tf(w, normalize_latents=False), "normalise"),
        "clamp": (pt(w, conv_clamp=-1), "conv_clamp"),
        "clamp text": (pt(w, conv_clamp="256"), "conv_clamp"),
        "clamp nan": (pt(w, conv_clamp=float("nan")), "conv_clamp"),
        "size text": (pt(w, z_dim="2"), "z_dim"),
        "size negative": (pt(w, z_dim=-2), "z_dim"),
        "two channels": (pt(published.random_weights(channels=2)), "2 channels"),
        "unknown tensor": (pt(w | {"synthesis.b8.conv1.extra": one(1)}), "extra"),
        "missing": (pt({k: v for k, v in w.items() if k != "synthesis.b8.conv0.bias"}), r"conv0\.bias"),
        "wrong shape": (pt(w | {"synthesis.b8.conv0.weight": one(2, 2, 5, 5)}), "shape"),
        "nan": (pt(w | {"synthesis.b8.conv0.bias": one(2) * float("nan")}), "not finite"),
        "TF inf": (tf(w | {"synthesis.b8.conv0.bias": one(2) * float("inf")}), "not finite"),
        "rosinality nan": (ros(w | {"synthesis.b8.conv0.bias": one(2) * float("nan")}), "not finite"),
        "integers": (pt(w | {"synthesis.b8.conv0.noise_const": one(8, 8, dtype=torch.int64)}), "real numbers"),
        "no G_ema": (pt(w, top=lambda c: {"D": c["D"]}), "G_ema"),
        "no g_ema": (ros(w, state={}), "g_ema"),
        "pair": (tf(w, top=lambda c: c[:2]), "three networks"),
        "numbers": (pickle.dumps((1, 2, 3)), "layout"),
        "other pickle": (pickle.dumps({"model": [1.0]}), "G_ema"),
        "other pt": (ros(w, state={"fc.weight": one(3)}), "fc.weight"),
        "pickle of text": (pickle.dumps({"G_ema": "a" * 99}), "layout"),
    }


def test_other_networks_are_refused(published, refused):
    for what, (data, says) in other_kinds(published).items():
        said = refused(data)
        assert says.replace("\\", "") in said, (what, said)
