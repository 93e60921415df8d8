"""Published layouts give the images of an independent implementation; all else is refused, and nothing runs."""

from __future__ import annotations

import gzip
import lzma
import os
import subprocess
import sys
import textwrap
import warnings
import zipfile
from pathlib import Path
from random import Random

import numpy as np
import pytest
import torch

from napari_brgm.errors import WeightsError
from napari_brgm.zoo.published_file import read_published

LAYOUTS = {
    "PyTorch, nested settings": ("pytorch_pickle", {}, "PyTorch pickle"),
    "PyTorch, flat settings": ("pytorch_pickle", {"flat": True, "protocol": 3}, "PyTorch pickle"),
    "TensorFlow, in parts": ("tensorflow_pickle", {}, "TensorFlow pickle"),
    "TensorFlow, in one": ("tensorflow_pickle", {"scoped": True, "protocol": 3}, "TensorFlow pickle"),
    "rosinality, zip": ("rosinality_pt", {"latent": None}, "rosinality checkpoint"),
    "rosinality, older": ("rosinality_pt", {"latent": None, "zipped": False}, "rosinality checkpoint"),
}


@pytest.mark.parametrize("net", ["32_gray", "64_rgb", "64_gray_resnet"])
@pytest.mark.parametrize("layout", LAYOUTS)
def test_images_are_those_of_the_parity_figures(net, layout, parity, published, tmp_path, nothing_runs):
    """Catches any wrong transposition, flip, offset or name."""
    if "resnet" in net and "rosinality" in layout:
        pytest.skip("rosinality has no such architecture")
    weights, case = parity(net)
    make, options, name = LAYOUTS[layout]
    path = tmp_path / "net"
    path.write_bytes(getattr(published, make)(weights, **options))
    with nothing_runs():
        found = read_published(path)
        generator = found.network()
    assert found.format == name
    with torch.no_grad():
        torch.testing.assert_close(generator.mapping(case["z"]), case["ws"], atol=1e-4, rtol=0)
        truncated = generator.mapping(case["z"], truncation_psi=0.7, truncation_cutoff=4)
        torch.testing.assert_close(truncated, case["ws_truncated"], atol=1e-4, rtol=0)
        for noise in ("const", "none"):
            images = generator.synthesis(case["wplus"], noise=noise)
            torch.testing.assert_close(images, case[f"image_noise_{noise}"], atol=1e-4, rtol=0)


def test_the_layouts_are_those_of_the_facts(published):
    """Elements at their places in the TensorFlow and rosinality layouts, written out: the builders are judged too."""
    weights = published.random_weights(8, width=3, z=2, w=5)
    variables = dict(published.tensorflow_variables(weights)["synthesis"])
    up, plain = weights["synthesis.b8.conv0.weight"], weights["synthesis.b8.conv1.weight"]
    assert variables["8x8/Conv0_up/weight"][0, 1, 2, 1] == up[1, 2, 2, 1]
    assert variables["8x8/Conv1/weight"][0, 1, 2, 1] == plain[1, 2, 0, 1]
    assert variables["8x8/Conv1/mod_weight"][4, 1] == weights["synthesis.b8.conv1.affine.weight"][1, 4]
    assert variables["8x8/Conv1/mod_bias"][1] == weights["synthesis.b8.conv1.affine.bias"][1] - 1
    noises = [variables[f"noise{i}"][0, 0] for i in range(3)]
    names = ["b4.conv1", "b8.conv0", "b8.conv1"]
    assert all((noises[i] == weights[f"synthesis.{n}.noise_const"].numpy()).all() for i, n in enumerate(names))
    state = published.rosinality_state(weights)
    assert state["convs.0.conv.weight"][0, 1, 2, 2, 1] == up[1, 2, 2, 1]
    assert state["convs.1.conv.weight"].shape == (1, 3, 3, 3, 3) and state["to_rgbs.0.bias"].shape == (1, 1, 1, 1)
    assert state["style.1.weight"] is weights["mapping.fc0.weight"]


def test_files_of_other_kinds_are_refused(published, hostile, refused, tmp_path, nothing_runs):
    from safetensors.torch import save

    weights = published.random_weights(4)
    pt = published.rosinality_pt(weights)
    with zipfile.ZipFile(tmp_path / "text.zip", "w") as file:
        file.writestr("readme.txt", "hello")
    for data, says in [
        (b"", "is no StyleGAN2 network; give"),
        (b"\n<!DOCTYPE html>\n<html><body>404</body></html>", "is a web page and not the weights; download it again"),
        (b"<HTML><head>", "is a web page"),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\nsize 9\n", "is a git-lfs pointer"),
        (gzip.compress(b"\x80\x04N."), "they hold no tensors by name"),
        (b"\xfd7zXZ\x00\x00", "cannot be unpacked: "),
        (b"7z\xbc\xaf\x27\x1c", "is packed; unpack it"),
        (b"PK", "zip"),
        (b"\x80", "cut short"),
        (b"weights of a brain\n" * 9, "is no StyleGAN2 network"),
        (save(weights, {"format": "napari-brgm prior 1"}), "needs no conversion"),
        ((tmp_path / "text.zip").read_bytes(), "is no StyleGAN2 network"),
        (pt[:-500], "zip"),
        (pt[: len(pt) // 2], "zip"),
        (pt[50:], ""),
        (hostile.recompressed(pt, method=zipfile.ZIP_BZIP2), "packed by an unusual method; unpack it"),
        (published.pytorch_pickle(weights) + b"more", "goes on"),
        (published.rosinality_pt(weights, zipped=False) + b"more", "left over"),
        (published.rosinality_pt(weights, zipped=False)[:-9], "cut short"),
    ]:
        assert says in refused(data), says
    for path in (tmp_path, tmp_path / "nowhere.pkl", Path("/dev/zero")):
        with nothing_runs(), pytest.raises(WeightsError, match="no file"):
            read_published(path)


def test_code_in_files_is_not_run(published, hostile, refused, tmp_path, monkeypatch):
    """At the top, beside the network, in a nested storage, in a torch archive: sentinel and trap stay untouched."""
    sentinel = tmp_path.parent / f"{tmp_path.name}-sentinel"
    sprung: list[str] = []
    bad = hostile.Rigged(os.system, f"touch {sentinel}")
    monkeypatch.setattr(os, "system", sprung.append)
    everything = {**hostile.calls(f"touch {sentinel}"), **hostile.requests()}
    for data in everything.values():
        refused(data)
    weights = published.random_weights(4)
    nested = hostile.Rigged(torch.storage._load_from_bytes, everything["REDUCE"])
    archive = hostile.Rigged(
        torch.storage._load_from_bytes, published.rosinality_pt(weights, zipped=False, state={"a": bad})
    )
    for rigged in (bad, nested, archive):
        made = published.pytorch_pickle(weights, top=lambda c, x=rigged: {"first": x, **c})
        if rigged is bad:
            assert "asks to run" in refused(made)
        tensor = hostile.Rigged(torch._utils._rebuild_tensor_v2, rigged, 0, (2,), (1,), False, {})
        with_tensor = published.pytorch_pickle(weights, layers={"_buffers": {"noise_const": tensor}})
        refused(with_tensor)
    for zipped in (True, False):
        assert "asks to run" in refused(published.rosinality_pt(weights, zipped=zipped, state={"conv1.bias": bad}))
        assert "asks to run" in refused(published.rosinality_pt(weights, zipped=zipped, extra=bad))
    lists = published.tensorflow_variables(weights)
    for array in (hostile.object_array(bad), hostile.object_array(1.0), bad):
        said = refused(published.tensorflow_pickle(weights, variables=lists | {"Gs": [("dlatent_avg", array)]}))
        assert "asks to run" in said or "other than numbers" in said
    record = np.zeros(2, [("a", "f4")])
    assert "other than numbers" in refused(
        published.tensorflow_pickle(weights, variables=lists | {"Gs": [("dlatent_avg", record)]})
    )
    assert not sprung and not sentinel.exists()


def test_values_that_hold_themselves(published, refused):
    """Modules within themselves, networks within themselves, and a network of 2**100 modules in a small file."""
    weights = published.random_weights(4)
    meta: dict = {"type": "class"}
    meta["state"] = {"_modules": {"b4": published._Persistent(meta)}}

    def top(content):
        content["G_ema"] = published._Persistent(meta)
        return content

    assert "nests more" in refused(published.pytorch_pickle(weights, top=top))
    module = published._Persistent({"state": {"_modules": {}, "training": False}})
    for _ in range(100):
        module = published._Persistent({"state": {"_modules": {"a": module, "b": module}}})
    assert "nests more" in refused(published.pytorch_pickle(weights, top=lambda c: {"G_ema": module}))

    def itself(networks):
        networks[2].state["components"]["mapping"] = networks[2]
        networks[2].state["static_kwargs"]["resolution"] = networks[2].state
        return networks

    refused(published.tensorflow_pickle(weights, top=itself))
    many = {f"noise{i % 90}": weights["mapping.w_avg"] for i in range(90)}
    refused(published.pytorch_pickle({f"synthesis.b4.conv1.{k}": v for k, v in many.items()} | weights))
    one = torch.zeros(1000)
    state = {"input.input": one.reshape(1, 1000, 1, 1)} | {f"style.{i}.bias": one for i in range(1, 100)}
    assert "more numbers than the file" in refused(published.rosinality_pt(weights, state=state))


BOMBS = """
    import resource, sys, time, warnings
    sys.path.insert(0, {folder!r})
    import bz2, gzip, io, lzma
    import hostile, pathlib, zipfile, published
    from napari_brgm.errors import WeightsError
    from napari_brgm.zoo.published_file import read_published
    import torch
    path = pathlib.Path({path!r})
    weights = published.random_weights(4)
    path.write_bytes(published.rosinality_pt(weights))
    read_published(path).network()
    bombs = hostile.bombs()
    pt = path.read_bytes()
    bombs["zip bomb"] = hostile.recompressed(
        pt, lambda n, d: (n, bytes(1 << 26) if n.endswith("data/0") else d), zipfile.ZIP_DEFLATED)
    named = io.BytesIO()
    with zipfile.ZipFile(named, "w", zipfile.ZIP_DEFLATED) as file:
        file.writestr("net.pkl", bytes(1 << 29))
    bombs |= {{
        "gzip": gzip.compress(bytes(1 << 25)) * 32, "bzip2": bz2.compress(bytes(1 << 25)) * 32,
        "xz": lzma.compress(bytes(1 << 25)) * 32, "zip around one": named.getvalue(),
        "xz of a large window": lzma.compress(path.read_bytes(), filters=[
            {{"id": lzma.FILTER_LZMA2, "preset": 0, "dict_size": 400 << 20}}]),
        "long text": b"\\x80\\x02X" + (1 << 26).to_bytes(4, "little") + b"a" * (1 << 26) + b".",
    }}
    bombs["many entries"] = pt + b"PK\\x01\\x02" * 30_000
    pages = int(pathlib.Path("/proc/self/statm").read_text().split()[0])
    limit = pages * resource.getpagesize() + (500 << 20)
    resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
    for name, data in bombs.items():
        path.write_bytes(data)
        begin = time.process_time()
        try:
            read_published(path)
        except WeightsError as error:
            assert "memory" not in str(error), (name, error)
        else:
            raise SystemExit(name + " was read")
        assert time.process_time() - begin < 10, name
"""


@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="needs /proc")
def test_bombs_do_not_go_off(tmp_path):
    """Claims of terabytes and files that grow are refused with 500 MB to spare, none of them for lack of memory."""
    code = textwrap.dedent(BOMBS).format(folder=str(Path(__file__).parent), path=str(tmp_path / "bomb"))
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr[-2000:] + done.stdout


def test_mutants_are_read_or_refused(published, mutations, tmp_path, nothing_runs):
    """3,000 mutants: each a network or one sentence; catches any other error, any code that runs, any write."""
    tiny, larger = published.random_weights(4, layers=1), published.random_weights(8, layers=1)
    valid = [make(tiny) for make in (published.pytorch_pickle, published.tensorflow_pickle, published.rosinality_pt)]
    valid += [published.rosinality_pt(tiny, zipped=False), published.pytorch_pickle(tiny, flat=True, protocol=3)]
    valid += [published.tensorflow_pickle(larger, scoped=True), published.rosinality_pt(larger)]
    valid += [published.saved({"G_ema": tiny, "conv_clamp": 256}), published.pytorch_pickle(tiny, protocol=2)]
    valid += [
        published.saved_older(larger, 4),
        published.rosinality_module(tiny),
        published.tensorflow_pickle(tiny, protocol=5),
    ]
    valid += [published.pytorch_pickle(tiny, dumps=published.saved), gzip.compress(valid[0]), lzma.compress(valid[2])]
    path, random, read = tmp_path / "mutant", Random(0), 0
    for case in range(3000):
        path.write_bytes(mutations.mutate(random.choice(valid), valid, random))
        with nothing_runs(), warnings.catch_warnings():
            warnings.simplefilter("error")
            try:
                read_published(path).network()
                read += 1
            except WeightsError as error:
                assert str(error).isprintable(), case
            except Exception as error:
                raise AssertionError(f"mutant {case} ended in {error!r}") from error
    assert 50 < read < 1400
    assert [p.name for p in tmp_path.iterdir()] == ["mutant"]
