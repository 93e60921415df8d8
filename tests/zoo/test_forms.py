"""The same generator in every form in which people save and pack it comes back, and says what its form has lost.

Catches a form that is refused though it can be read, or read as another network. The forms are those of
``pickle.dump``, of ``torch.save`` old and new, and of packers; the layouts those of published.py.
"""

from __future__ import annotations

import bz2
import functools
import gzip
import io
import lzma
import pickle
import zipfile
from argparse import Namespace
from collections import OrderedDict, defaultdict
from pathlib import PurePosixPath

import numpy as np
import pytest
import safetensors.torch
import torch

from napari_brgm.zoo.published_file import read_published


class RaisesWhenRead:
    """What an exception is in a pickle, whatever else in this process has changed how these are written."""

    def __reduce__(self):
        return Exception, ("x",)


@pytest.fixture(scope="module")
def weights(published):
    return published.random_weights(8, width=3, z=4, w=5, layers=3, features=6)


def zipped(content: bytes, name: str = "net.pkl", *others: str) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as out:
        out.writestr(name, content)
        out.writestr("__MACOSX/._net.pkl", b"extended attributes")
        for other in others:
            out.writestr(other, content)
    return file.getvalue()


def pytorch_modules(published, w, hostile) -> dict[str, bytes]:
    """Pickled modules of StyleGAN2-ADA."""
    make, save = published.pytorch_pickle, published.saved
    plain = make(w)
    return {
        "pickle, protocol 2": make(w, protocol=2), "protocol 3": make(w, protocol=3), "protocol 5": make(w, protocol=5),
        "the module alone": make(w, top=lambda c: c["G_ema"]),
        "torch.save(G_ema)": make(w, top=lambda c: c["G_ema"], dumps=save),
        "torch.save(G_ema), older": make(w, top=lambda c: c["G_ema"], dumps=published.saved_older),
        "torch.save of all": make(w, dumps=save), "protocol 5 of all": make(w, dumps=lambda c, p: save(c, 5)),
        "g_ema": make(w, top=lambda c: {"g": c["G"], "g_ema": c["G_ema"]}, dumps=save),
        "gzip": gzip.compress(plain), "two gzips": gzip.compress(plain[:99]) + gzip.compress(plain[99:]),
        "bzip2": bz2.compress(plain), "xz": lzma.compress(plain),
        "two bzip2": bz2.compress(plain[:99]) + bz2.compress(plain[99:]),
        "zip": zipped(plain), "zip with a text": zipped(plain, "net.pkl", "readme.txt"),
        "zip in a folder": zipped(plain, "nets/net.pkl"), "zip of a gzip": zipped(gzip.compress(plain), "net.pkl.gz"),
        "gzip of a torch.save": gzip.compress(make(w, dumps=save)), "zip of a torch.save": zipped(make(w, dumps=save)),
        "zipped again": hostile.recompressed(make(w, dumps=save), method=zipfile.ZIP_DEFLATED),
    }  # fmt: skip


def pytorch_tables(published, w) -> dict[str, bytes]:
    """State dicts under the published names."""
    save, older = published.saved, published.saved_older
    table = OrderedDict(w)
    attributes = {k: torch.nn.Parameter(v) for k, v in w.items()}
    for tensor in attributes.values():
        tensor.note = 1
    noted = {k: v.clone() for k, v in w.items()}
    for tensor in noted.values():
        tensor.note = 1
    arrays = {k: v.numpy() for k, v in w.items()}
    training = {
        "device": torch.device("cpu"), "size": torch.Size([3]), "type": torch.float32, "counts": {1, 2}, "none": b"",
        "frozen": frozenset({1}), "bytes": bytearray(b"ab"), "path": PurePosixPath("/data"), "range": range(3),
        "table": defaultdict(list, a=[1]), "part": functools.partial(dict, a=1), "rate": np.float64(1), "c": 1j,
        "args": Namespace(where=PurePosixPath("x")), "state": np.arange(3, dtype=np.uint32),
    }  # fmt: skip
    return {
        "bare": save(table), "bare, older": older(table), "protocol 4": save(table, 4), "older, 4": older(table, 4),
        "protocol 5": save(table, 5), "pickled": pickle.dumps(dict(w), 4), "pickled, 2": pickle.dumps(dict(w), 2),
        "pickled, 5": pickle.dumps(dict(w), 5), "G_ema": save({"G": {k: v + 1 for k, v in w.items()}, "G_ema": table}),
        "g_ema": save({"g_ema": table, "conv_clamp": None, "step": 3}),
        "module.": save({f"module.{k}": v for k, v in w.items()}),
        "wrapped": save({"state_dict": {f"G_ema.{k}": v for k, v in w.items()} | {f"G.{k}": v + 1 for k, v in w.items()}
                         | {"D.b4.fc.weight": torch.ones(2)}}),
        "model": save({"model": table, "epoch": 7, "lr": 0.1}),
        "doubles": save({k: v.double() for k, v in w.items()}),
        "parameters": save(attributes), "attributes": save(noted), "attributes, pickled": pickle.dumps(noted, 4),
        "arrays": pickle.dumps(arrays, 4), "arrays, 5": pickle.dumps(arrays, 5), "arrays, 2": pickle.dumps(arrays, 2),
        "training": save({"G_ema": table, **training}), "training, pickled": pickle.dumps({"G_ema": table, **training}),
        "training, 2": pickle.dumps({"G_ema": table, **training}, 2),
        "safetensors": safetensors.torch.save(w), "of a hub": safetensors.torch.save(w, {"format": "pt"}),
        "safetensors, module.": safetensors.torch.save({f"module.{k}": v for k, v in w.items()}),
    }  # fmt: skip


def tensorflow_pickles(published, w) -> dict[str, bytes]:
    make = published.tensorflow_pickle
    return {
        "protocol 2": make(w, protocol=2), "protocol 5": make(w, protocol=5), "Gs alone": make(w, top=lambda c: c[2]),
        "gzip": gzip.compress(make(w)), "fmaps": make(w, mapping_fmaps=6),
    }  # fmt: skip


def rosinality_files(published, w) -> dict[str, bytes]:
    save, module = published.saved, published.rosinality_module
    state = published.rosinality_state(w)
    mean = {"latent_avg": w["mapping.w_avg"]}
    return {
        "bare": save(state), "bare, older": published.saved_older(state), "pickled": pickle.dumps(state, 2),
        "DataParallel": save({"g_ema": {f"module.{k}": v for k, v in state.items()}, **mean}),
        "safetensors": safetensors.torch.save({k: v.clone() for k, v in state.items()}),
        "module": module(w), "module, older": module(w, published.saved_older),
        "module, pickled": module(w, pickle.dumps), "module, 4": module(w, save, 4), "wrapped": module(w, wrapped=True),
        "zip": zipped(published.rosinality_pt(w, latent=None), "550000.pt"),
    }  # fmt: skip


def same(found, wanted) -> None:
    assert found.keys() >= wanted.keys() - {"mapping.w_avg"}
    for name, tensor in found.items():
        torch.testing.assert_close(tensor, wanted[name], msg=name)


def test_modules_of_pytorch(published, hostile, weights, tmp_path, nothing_runs):
    path = tmp_path / "net"
    for form, data in pytorch_modules(published, weights, hostile).items():
        path.write_bytes(data)
        with nothing_runs():
            found = read_published(path)
            net = found.network()
        same(found.weights, weights)
        assert found.format == "PyTorch pickle" and not found.taken, form
        assert (net.mapping.z_dim, net.mapping.features, net.mapping.w_dim) == (4, 6, 5)


def test_state_dicts_of_pytorch(published, weights, tmp_path, nothing_runs):
    path = tmp_path / "net"
    for form, data in pytorch_tables(published, weights).items():
        path.write_bytes(data)
        with nothing_runs():
            found = read_published(path)
            found.network()
        same(found.weights, weights)
        assert found.format == "PyTorch state dict", form
        assert found.stated.clamp_assumed is (form != "g_ema"), form
        assert any("conv_clamp" in sentence for sentence in found.taken) is (form != "g_ema"), form


def test_tensorflow(published, weights, tmp_path, nothing_runs):
    path = tmp_path / "net"
    for data in tensorflow_pickles(published, weights).values():
        path.write_bytes(data)
        with nothing_runs():
            found = read_published(path)
            found.network()
        same(found.weights, weights)


def test_rosinality(published, tmp_path, nothing_runs):
    weights = published.random_weights(8, width=3, z=5, w=5)
    path = tmp_path / "net"
    for form, data in rosinality_files(published, weights).items():
        path.write_bytes(data)
        with nothing_runs():
            found = read_published(path)
            found.network()
        same(found.weights, weights)
        assert found.format == "rosinality checkpoint" and found.stated.conv_clamp is None, form
        assert not found.taken, form


def test_halves_and_eights(published, weights, tmp_path):
    """Of untyped storages too, as newer versions write them."""
    path = tmp_path / "net"
    for kind, error in ((torch.float16, 1e-2), (torch.bfloat16, 1e-1), (torch.float8_e5m2, 1.0)):
        for make in (published.saved, published.saved_older, pickle.dumps):
            path.write_bytes(make({k: v.to(kind) for k, v in weights.items()}, 4))
            found = read_published(path).weights
            for name, tensor in weights.items():
                torch.testing.assert_close(found[name], tensor, rtol=error, atol=error)


def test_bytes_of_a_megabyte_at_protocol_2(published, tmp_path):
    """Protocol 2 writes bytes as text: catches a bound on texts that real weights would pass."""
    weights = published.random_weights(4, width=450)
    path = tmp_path / "net"
    path.write_bytes(published.pytorch_pickle(weights, protocol=2))
    same(read_published(path).weights, weights)
    path.write_bytes(published.tensorflow_pickle(weights, protocol=2))
    same(read_published(path).weights, weights)


def test_an_unaveraged_generator_is_said(published, weights, tmp_path):
    path = tmp_path / "net"
    for data in (
        published.pytorch_pickle(weights, top=lambda c: {"G": c["G_ema"], "D": c["D"]}),
        published.saved({"G": weights, "conv_clamp": 256, "init_kwargs": {"c_dim": 0}}),
        published.saved({"generator": published.rosinality_state(published.random_weights(4))}),
    ):
        path.write_bytes(data)
        (sentence,) = read_published(path).taken
        assert "not its average" in sentence
    found = read_published(path)
    assert found.network().resolution == 4


def test_what_lies_beside_a_state_dict_is_read(published, weights, tmp_path):
    path = tmp_path / "net"
    kwargs = published.described(weights, conv_clamp=128) | {"mapping_kwargs": {"layer_features": 6}}
    for data, clamp in (
        (published.saved({"G_ema": weights, "conv_clamp": 200}), 200.0),
        (published.saved({"conv_clamp": np.float64(64), **weights}), 64.0),
        (published.saved({"G_ema": weights, "init_kwargs": kwargs}), 128.0),
        (published.saved({"G_ema": weights, "init_kwargs": kwargs, "conv_clamp": None}), None),
        (safetensors.torch.save(weights, {"conv_clamp": "32"}), 32.0),
        (safetensors.torch.save(weights, {"conv_clamp": "none"}), None),
    ):
        path.write_bytes(data)
        found = read_published(path)
        assert found.network().synthesis.conv_clamp == clamp and not found.stated.clamp_assumed


def test_what_cannot_be_read_is_told_with_what_to_do(published, hostile, weights, refused):
    state = published.rosinality_state(weights)
    save = published.saved
    table = save(weights)

    def program(name: str, content: bytes):
        return ("archive/constants.pkl" if name == "archive/version" else name), content

    many = {f"A.{k}": v for k, v in weights.items()} | {f"B.{k}": v for k, v in weights.items()}
    for data, says in [
        (save(many), "more than one generator ('A.' and 'B.'); save the one you mean alone"),
        (save({k.removeprefix("synthesis."): v for k, v in weights.items()}), "they are the synthesis network alone"),
        (save({"state_dict": {"generator.style_mapping.0.weight": torch.ones(2)}}), "state_dict()}"),
        (save({"g_ema": {}}), "(g_ema) is empty"),
        (save([weights]), "they hold no tensors by name"),
        (save({k: v.to(torch.int8) for k, v in weights.items()}), "stored as int8, which are not real numbers"),
        (save({k: v.to(torch.uint16) for k, v in weights.items()}), "stored as uint16"),
        (save({**weights, "mapping.w_avg": torch.zeros(0)}), "is empty"),
        (save({"G_ema": weights, "conv_clamp": "256"}), "conv_clamp is not a positive number"),
        (safetensors.torch.save(weights, {"conv_clamp": "?"}), "neither a number nor 'none'"),
        (safetensors.torch.save(weights)[:-9], "not all there"),
        (gzip.compress(safetensors.torch.save(weights)), "is packed; unpack it"),
        (hostile.recompressed(table, program), "TorchScript program"),
        (zipped(table, "a.pt", "b.pt"), "2 weights files where one can be read; unpack it"),
        (zipped(zipped(table, "a.pt"), "a.pt"), "packed twice"),
        (gzip.compress(table)[:-20], "cannot be unpacked: "),
        (bz2.compress(table)[:-20], "cannot be unpacked: "),
        (lzma.compress(table)[:-20], "cannot be unpacked: "),
        (bytes(257) + b"ustar" + bytes(600), "tar archive; unpack it"),
        (b"Rar!\x1a\x07", "is packed; unpack it"),
        (b"\x28\xb5\x2f\xfd" + bytes(9), "is packed; unpack it"),
        (b"\x89HDF\r\n\x1a\n", "HDF5"),
        (pickle.dumps({"a": 1}, 0), "protocol 0 or 1"),
        (pickle.dumps({"a": 1}, 1), "protocol 0 or 1"),
        (b"\x80\x02}U\x05G_emaNs.", "pickled by Python 2"),
        (pickle.dumps({"G_ema": RaisesWhenRead()}, 4), "asks to run builtins.Exception, and nothing was run; if you"),
        (save({"g_ema": {**state, "fc.weight": torch.ones(1)}}), "'fc.weight' that is in no StyleGAN2"),
    ]:
        assert says in refused(data), says


def test_layers_that_differ(published, refused, tmp_path):
    """The clamp of the pictures counts, and the rate of the mapping's layers."""
    weights = published.random_weights()
    both = {"layers": {"conv_clamp": 256}, "pictures": {"conv_clamp": 256}}
    path = tmp_path / "net.pkl"
    path.write_bytes(published.pytorch_pickle(weights, **both, dense={"bias_gain": 0.01}))
    assert read_published(path).network().synthesis.conv_clamp == 256
    other = both | {"pictures": {"conv_clamp": None}}
    assert "differ in conv_clamp" in refused(published.pytorch_pickle(weights, **other))
    assert "lr_multiplier" in refused(published.pytorch_pickle(weights, dense={"bias_gain": 1.0}))
    assert "features 9" in refused(
        published.saved({"G_ema": weights, "init_kwargs": {"mapping_kwargs": {"layer_features": 9}}})
    )


def test_a_network_without_noise(published, tmp_path):
    """Made with use_noise=False: it has neither strengths nor maps."""
    weights = {k: v for k, v in published.random_weights().items() if "noise" not in k}
    path = tmp_path / "net.pkl"
    path.write_bytes(published.pytorch_pickle(weights))
    net = read_published(path).network()
    assert not net.synthesis.b8.conv1.noise_strength and net.synthesis.b8.conv1.noise_const.shape == (8, 8)
